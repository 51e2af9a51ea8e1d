module pullproof.dev/noop

go 1.25

// Package main waits until it is told to end: the process of every sandbox and of every image that a test pulls.
// With any argument it ends at once, as an init container has to.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	if len(os.Args) > 1 {
		return
	}
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGINT, syscall.SIGTERM)
	<-told
	os.Exit(0)
}

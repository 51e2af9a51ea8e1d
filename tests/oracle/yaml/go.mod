// What kubectl 1.36 reads YAML with. A module of its own: Kubernetes' packages are not needed for it.
module pullproof.dev/oracle/yaml

go 1.26.0

require sigs.k8s.io/yaml v1.6.0

require go.yaml.in/yaml/v2 v2.4.3 // indirect

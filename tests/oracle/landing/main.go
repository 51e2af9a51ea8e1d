// Command landing answers, for each pod and its nodes, which nodes Kubernetes' own scheduling helpers let it go to.
//
// In:  JSON lines {"pod": Pod, "nodes": [Node, …]}, as the API server stores them.
// Out: one JSON line each, in order: {"affinity": [bool, …], "taints": [bool, …], "kubelet_taints": [bool, …]}: per
// node whether nodeSelector and required node affinity match, whether every NoSchedule and NoExecute taint is
// tolerated (the scheduler's filter), and whether every NoExecute one is (the kubelet's).
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"

	v1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"k8s.io/klog/v2"
)

type question struct {
	Pod   v1.Pod    `json:"pod"`
	Nodes []v1.Node `json:"nodes"`
}

type answer struct {
	Affinity      []bool `json:"affinity"`
	Taints        []bool `json:"taints"`
	KubeletTaints []bool `json:"kubelet_taints"`
}

func tolerated(pod *v1.Pod, node *v1.Node, effects ...v1.TaintEffect) bool {
	_, untolerated := corev1.FindMatchingUntoleratedTaint(klog.Logger{}, node.Spec.Taints, pod.Spec.Tolerations,
		func(taint *v1.Taint) bool {
			for _, effect := range effects {
				if taint.Effect == effect {
					return true
				}
			}
			return false
		}, true)
	return !untolerated
}

func ask(q question) answer {
	required := nodeaffinity.GetRequiredNodeAffinity(&q.Pod)
	out := answer{Affinity: []bool{}, Taints: []bool{}, KubeletTaints: []bool{}}
	for i := range q.Nodes {
		// an error means that a term could not be read and none matched: the scheduler ignores it too
		matches, _ := required.Match(&q.Nodes[i])
		out.Affinity = append(out.Affinity, matches)
		out.Taints = append(out.Taints, tolerated(&q.Pod, &q.Nodes[i], v1.TaintEffectNoSchedule, v1.TaintEffectNoExecute))
		out.KubeletTaints = append(out.KubeletTaints, tolerated(&q.Pod, &q.Nodes[i], v1.TaintEffectNoExecute))
	}
	return out
}

func run(in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<24)
	writer := bufio.NewWriter(out)
	answers := json.NewEncoder(writer)
	for lines.Scan() {
		var q question
		if err := json.Unmarshal(lines.Bytes(), &q); err != nil {
			return fmt.Errorf("question %q: %w", lines.Text(), err)
		}
		if err := answers.Encode(ask(q)); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return writer.Flush()
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// psacheck asks Kubernetes' own Pod Security evaluator about rendered manifests.
//
//	helm template … | psacheck restricted
//
// Standard input is YAML with any objects; each pod template in it becomes one line of JSON:
//
//	{"kind":"DaemonSet","name":"…","namespace":"…","allowed":false,"violations":[{"reason":"…","detail":"…"}]}
//
// Exit code 0 when all were judged, whatever the verdict; 1 when something could not be read.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"
)

// Where each kind keeps its pod; a kind that is not here keeps none.
var templates = map[string][]string{
	"Pod":         {},
	"Deployment":  {"spec", "template"},
	"StatefulSet": {"spec", "template"},
	"DaemonSet":   {"spec", "template"},
	"ReplicaSet":  {"spec", "template"},
	"Job":         {"spec", "template"},
	"CronJob":     {"spec", "jobTemplate", "spec", "template"},
}

type violation struct {
	Reason string `json:"reason"`
	Detail string `json:"detail"`
}

type verdict struct {
	Kind       string      `json:"kind"`
	Name       string      `json:"name"`
	Namespace  string      `json:"namespace"`
	Allowed    bool        `json:"allowed"`
	Violations []violation `json:"violations"`
}

func main() {
	level, err := api.ParseLevel(append(os.Args, string(api.LevelRestricted))[1])
	if err == nil {
		err = judge(level, os.Stdin, json.NewEncoder(os.Stdout))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "psacheck:", err)
		os.Exit(1)
	}
}

func judge(level api.Level, in io.Reader, out *json.Encoder) error {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		return err
	}
	at := api.LevelVersion{Level: level, Version: api.LatestVersion()}
	documents := utilyaml.NewYAMLReader(bufio.NewReader(in))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		object := map[string]any{}
		if err := yaml.Unmarshal(document, &object); err != nil {
			return err
		}
		kind, _ := object["kind"].(string)
		path, isWorkload := templates[kind]
		if !isWorkload {
			continue
		}
		template := object
		if len(path) > 0 {
			found, ok, err := unstructured.NestedMap(object, path...)
			if err != nil || !ok {
				return fmt.Errorf("%s without a pod template: %v", kind, err)
			}
			template = found
		}
		var pod corev1.PodTemplateSpec
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(template, &pod); err != nil {
			return err
		}
		whole := unstructured.Unstructured{Object: object}
		said := verdict{kind, whole.GetName(), whole.GetNamespace(), true, []violation{}}
		for _, result := range evaluator.EvaluatePod(at, &pod.ObjectMeta, &pod.Spec) {
			if !result.Allowed {
				said.Allowed = false
				said.Violations = append(said.Violations, violation{result.ForbiddenReason, result.ForbiddenDetail})
			}
		}
		if err := out.Encode(said); err != nil {
			return err
		}
	}
}

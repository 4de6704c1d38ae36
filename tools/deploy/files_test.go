package deploy_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

// root is the directory of the project.
const root = "../.."

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// run runs a program in a directory of the project and returns its output.
func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = filepath.Join(root, dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// decode reads one object of a manifest and refuses every field that its type does not have.
func decode[T any](t *testing.T, path string) T {
	t.Helper()
	var object T
	if err := yaml.UnmarshalStrict(read(t, path), &object); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return object
}

// TestKubernetes_Schemas decodes each manifest into its Kubernetes type and compares the names that connect them.
func TestKubernetes_Schemas(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(root, "deploy/kubernetes/*"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, path := range paths {
		names = append(names, filepath.Base(path))
	}
	if want := []string{"config.yaml", "deployment.yaml", "disruption.yaml", "secret.yaml.example", "service.yaml"}; !slices.Equal(names, want) {
		t.Errorf("manifests %q, want %q", names, want)
	}
	config := decode[corev1.ConfigMap](t, "deploy/kubernetes/config.yaml")
	secret := decode[corev1.Secret](t, "deploy/kubernetes/secret.yaml.example")
	deployment := decode[appsv1.Deployment](t, "deploy/kubernetes/deployment.yaml")
	service := decode[corev1.Service](t, "deploy/kubernetes/service.yaml")
	budget := decode[policyv1.PodDisruptionBudget](t, "deploy/kubernetes/disruption.yaml")
	for kind, got := range map[string][2]string{
		"ConfigMap v1": {config.Kind, config.APIVersion}, "Secret v1": {secret.Kind, secret.APIVersion}, "Deployment apps/v1": {deployment.Kind, deployment.APIVersion},
		"Service v1": {service.Kind, service.APIVersion}, "PodDisruptionBudget policy/v1": {budget.Kind, budget.APIVersion},
	} {
		if kind != got[0]+" "+got[1] {
			t.Errorf("%q is %q", kind, got)
		}
	}

	pod := deployment.Spec.Template
	for name, selector := range map[string]map[string]string{"service": service.Spec.Selector, "budget": budget.Spec.Selector.MatchLabels, "deployment": deployment.Spec.Selector.MatchLabels} {
		for label, value := range selector {
			if pod.Labels[label] != value {
				t.Errorf("the selector of the %s does not match the pods: %s", name, label)
			}
		}
	}
	core := pod.Spec.Containers[0]
	if core.EnvFrom[0].ConfigMapRef.Name != config.Name || pod.Spec.Volumes[0].Secret.SecretName != secret.Name {
		t.Error("the deployment names another ConfigMap or Secret")
	}
	for _, item := range pod.Spec.Volumes[0].Secret.Items {
		if _, there := secret.StringData[item.Key]; !there {
			t.Errorf("the secret has no %s", item.Key)
		}
	}
	ports := make(map[string]int32)
	for _, port := range core.Ports {
		ports[port.Name] = port.ContainerPort
	}
	if ports[service.Spec.Ports[0].TargetPort.StrVal] != 7460 {
		t.Errorf("the service's port is %v of %v", service.Spec.Ports[0].TargetPort, ports)
	}
	for path, probe := range map[string]*corev1.Probe{"/livez": core.LivenessProbe, "/readyz": core.ReadinessProbe} {
		if probe.HTTPGet.Path != path || ports[probe.HTTPGet.Port.StrVal] != 7461 {
			t.Errorf("the probe of %s is %v", path, probe.HTTPGet)
		}
	}
	if s := pod.Spec.SecurityContext; !*s.RunAsNonRoot || *s.RunAsUser == 0 || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Error("the pod may run as root")
	}
	if s := core.SecurityContext; *s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) {
		t.Error("the container has privileges")
	}
}

// TestCompose_Schema validates the file against the specification, with and without the variable that it requires, and the files that it mounts.
func TestCompose_Schema(t *testing.T) {
	load := func(environment types.Mapping) (*types.Project, error) {
		path := filepath.Join(root, "deploy/compose.yaml")
		return loader.LoadWithContext(t.Context(), types.ConfigDetails{
			WorkingDir: filepath.Join(root, "deploy"), ConfigFiles: []types.ConfigFile{{Filename: path}}, Environment: environment,
		})
	}
	if _, err := load(types.Mapping{}); err == nil || !strings.Contains(err.Error(), "CHATCORE_TOKENS_ENTRIES") {
		t.Errorf("without tokens: %v", err)
	}
	project, err := load(types.Mapping{"CHATCORE_TOKENS_ENTRIES": `{"tokens":[]}`})
	if err != nil {
		t.Fatal(err)
	}
	redis := strings.Join(project.Services["redis"].Command, " ")
	for _, setting := range []string{"--appendonly yes", "--appendfsync everysec", "--maxmemory-policy noeviction"} {
		if !strings.Contains(redis, setting) {
			t.Errorf("redis runs without %s", setting)
		}
	}
	if n := project.Services["core"].Deploy.Replicas; n == nil || *n != 2 {
		t.Errorf("core has %v replicas", n)
	}
	for name, service := range project.Services {
		for _, port := range service.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s publishes port %s at %q", name, port.Published, port.HostIP)
			}
		}
		for _, volume := range service.Volumes {
			if volume.Type == types.VolumeTypeBind {
				if _, err := os.Stat(volume.Source); err != nil {
					t.Errorf("%s mounts a file that is missing: %v", name, err)
				}
			}
		}
	}
}

// TestGrafana_Schema decodes the dashboard strictly, and checks what every panel needs.
func TestGrafana_Schema(t *testing.T) {
	text := read(t, "deploy/grafana/chatcore.json")
	var board dashboard.Dashboard
	if err := board.UnmarshalJSONStrict(text); err != nil && err.Error() != "" { // a list of errors, which may be empty
		t.Fatal(err)
	}
	if board.Uid == nil || *board.Uid != "chatcore" || board.SchemaVersion < 36 {
		t.Errorf("uid %v, schema version %d", board.Uid, board.SchemaVersion)
	}
	var plain struct {
		Panels []struct {
			ID                       int
			Title, Type, Description string
			Datasource               struct{ UID string }
			FieldConfig              struct{ Defaults struct{ Unit string } }
			GridPos                  struct{ X, Y, W, H int }
			Targets                  []struct{ Expr, LegendFormat string }
		}
		Templating struct{ List []struct{ Name, Type string } }
	}
	if err := json.Unmarshal(text, &plain); err != nil {
		t.Fatal(err)
	}
	if plain.Templating.List[0].Name != "datasource" || plain.Templating.List[0].Type != "datasource" {
		t.Errorf("the first variable is %v", plain.Templating.List[0])
	}
	ids, taken := make(map[int]bool), make(map[[2]int]string)
	for _, panel := range plain.Panels {
		if ids[panel.ID] {
			t.Errorf("two panels have the id %d", panel.ID)
		}
		ids[panel.ID] = true
		for x := panel.GridPos.X; x < panel.GridPos.X+panel.GridPos.W; x++ {
			for y := panel.GridPos.Y; y < panel.GridPos.Y+panel.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%q is upon %q at %d, %d", panel.Title, other, x, y)
				}
				taken[[2]int{x, y}] = panel.Title
			}
		}
		if panel.Type == "row" {
			continue
		}
		if panel.Title == "" || panel.Description == "" || panel.FieldConfig.Defaults.Unit == "" || panel.Datasource.UID != "${datasource}" || len(panel.Targets) == 0 {
			t.Errorf("panel %d (%s) lacks a title, a description, a unit, the data source variable or a query", panel.ID, panel.Title)
		}
		for _, target := range panel.Targets {
			if target.Expr == "" || target.LegendFormat == "" {
				t.Errorf("a query of %q is empty or has no legend", panel.Title)
			}
		}
	}
}

// promtool returns the path of promtool.
func promtool(t *testing.T) string {
	t.Helper()
	if path, err := exec.LookPath("promtool"); err == nil {
		return path
	}
	path, err := filepath.Abs(filepath.Join(root, "bin/promtool"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatal("there is no promtool; sh scripts/ensure.sh promtool installs it")
	}
	return path
}

// TestGrafana_Queries has promtool parse every query of the dashboard, as rules of a file.
func TestGrafana_Queries(t *testing.T) {
	var board struct {
		Panels []struct{ Targets []struct{ Expr string } }
	}
	if err := json.Unmarshal(read(t, "deploy/grafana/chatcore.json"), &board); err != nil {
		t.Fatal(err)
	}
	type rule struct {
		Record string `json:"record"`
		Expr   string `json:"expr"`
	}
	var rules []rule
	values := strings.NewReplacer("$__rate_interval", "1m", "$job", "chatcore", "$instance", ".*", "$group", ".*")
	for _, panel := range board.Panels {
		for _, target := range panel.Targets {
			rules = append(rules, rule{Record: fmt.Sprintf("query:%d", len(rules)), Expr: values.Replace(target.Expr)})
		}
	}
	if len(rules) < 40 {
		t.Errorf("%d queries", len(rules))
	}
	text, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, ".", promtool(t), "check", "rules", "--lint-fatal", file)
}

// TestPrometheus_Rules has promtool check the configuration and run the tests of the rules: each rule has one.
func TestPrometheus_Rules(t *testing.T) {
	const dir = "deploy/prometheus"
	run(t, dir, promtool(t), "check", "config", "prometheus.yaml")
	run(t, dir, promtool(t), "test", "rules", "alerts_test.yaml")
	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert       string
				Labels      map[string]string
				Annotations map[string]string
			}
		}
	}
	if err := yaml.Unmarshal(read(t, dir+"/alerts.yaml"), &rules); err != nil {
		t.Fatal(err)
	}
	tests := string(read(t, dir+"/alerts_test.yaml"))
	for _, rule := range rules.Groups[0].Rules {
		if !strings.Contains(tests, "- name: "+rule.Alert+"\n") {
			t.Errorf("%s has no test", rule.Alert)
		}
		if rule.Labels["severity"] == "" || rule.Annotations["summary"] == "" || rule.Annotations["description"] == "" {
			t.Errorf("%s lacks its severity, summary or description", rule.Alert)
		}
	}
}

// TestSystemd_Unit has systemd-analyze verify the unit, with the program at its path in a root of its own, and rate its exposure.
func TestSystemd_Unit(t *testing.T) {
	dir := t.TempDir()
	for path, content := range map[string][]byte{
		"etc/systemd/system/chatcore.service": read(t, "deploy/systemd/chatcore.service"),
		"usr/bin/core":                        []byte("#!/bin/sh\n"),
		"etc/chatcore/chatcore.env":           read(t, "deploy/systemd/chatcore.env"),
	} {
		full := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		mode := os.FileMode(0o644)
		if path == "usr/bin/core" {
			mode = 0o755
		}
		if err := os.WriteFile(full, content, mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, target := range []string{"network-online", "multi-user", "sysinit", "basic", "shutdown", "network"} {
		stub := filepath.Join(dir, "etc/systemd/system", target+".target")
		if err := os.WriteFile(stub, []byte("[Unit]\nDescription="+target+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Fatal("there is no systemd-analyze; sh scripts/ensure.sh systemd installs it")
	}
	cmd := exec.CommandContext(t.Context(), "systemd-analyze", "verify", "--root", dir, "--man=no", "chatcore.service")
	out, err := cmd.CombinedOutput()
	if err != nil || len(bytes.TrimSpace(out)) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	cmd = exec.CommandContext(t.Context(), "systemd-analyze", "security", "--offline=yes", "--threshold=20", filepath.Join(dir, "etc/systemd/system/chatcore.service"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("systemd-analyze security: %v\n%s", err, out)
	}
	for _, line := range strings.Split(string(read(t, "deploy/systemd/chatcore.env")), "\n") {
		if name, _, is := strings.Cut(line, "="); line != "" && (!is || !strings.HasPrefix(name, "CHATCORE_") && name != "REDIS_URL") {
			t.Errorf("chatcore.env: %q", line)
		}
	}
}

// Package dashboards_test checks what Prometheus and Grafana are given: the
// scrape configuration, the alert rules and the dashboards of this folder.
// Whether the metrics in them exist is a test of the program, cmd/pollux.
package dashboards_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// promtool runs Debian's promtool in this folder.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("promtool", args...).CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v:\n%s", strings.Join(args, " "), err, out)
	}
}

func TestPrometheusTakesTheConfiguration(t *testing.T) {
	t.Parallel()
	promtool(t, "check", "config", "prometheus.yml")
}

func TestAlertsFireOnTheirCauses(t *testing.T) {
	t.Parallel()
	promtool(t, "test", "rules", "rules_test.yml")
}

// rules is what is read of a file of rules.
type rules struct {
	Groups []struct {
		Rules []struct {
			Alert       string            `yaml:"alert"`
			Expr        string            `yaml:"expr"`
			For         string            `yaml:"for"`
			Labels      map[string]string `yaml:"labels"`
			Annotations map[string]string `yaml:"annotations"`
		} `yaml:"rules"`
	} `yaml:"groups"`
}

func readRules(t *testing.T) (r rules) {
	t.Helper()
	text, err := os.ReadFile("rules.yml")
	if err == nil {
		err = yaml.Unmarshal(text, &r)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Every alert has what the one who is woken needs, and a test of its cause.
func TestEveryAlertIsCompleteAndTested(t *testing.T) {
	t.Parallel()
	tests, err := os.ReadFile("rules_test.yml")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, group := range readRules(t).Groups {
		for _, rule := range group.Rules {
			names = append(names, rule.Alert)
			if rule.For == "" || !slices.Contains([]string{"warning", "critical"}, rule.Labels["severity"]) || rule.Annotations["summary"] == "" || rule.Annotations["description"] == "" {
				t.Errorf("%s lacks one of for, severity, summary and description: %+v", rule.Alert, rule)
			}
			checkRunbook(t, rule.Alert, rule.Annotations["runbook"])
			if fired := regexp.MustCompile(`alertname: ` + rule.Alert + `\n\s+exp_alerts:\n\s+- exp_labels:`); !fired.Match(tests) {
				t.Errorf("no test has %s fire", rule.Alert)
			}
		}
	}
	want := []string{"NodeDown", "NoLeader", "GroupUncovered", "LatenessHigh", "QueueBacklog", "ArchivedTasks", "JournalGrowing", "RRDCachedDown"}
	if !slices.Equal(names, want) {
		t.Errorf("the alerts are %v, want %v", names, want)
	}
}

// checkRunbook wants a page of this repository with a heading for the alert.
func checkRunbook(t *testing.T, alert, link string) {
	t.Helper()
	page, anchor, _ := strings.Cut(link, "#")
	text, err := os.ReadFile(filepath.Join("..", page))
	if err != nil {
		t.Errorf("%s: the runbook: %v", alert, err)
		return
	}
	if anchor != strings.ToLower(alert) || !strings.Contains(string(text), "\n## "+alert+"\n") {
		t.Errorf("%s: %s has no heading %s", alert, page, alert)
	}
}

// dashboard is what is read of a Grafana dashboard.
type dashboard struct {
	ID            *int   `json:"id"`
	UID           string `json:"uid"`
	SchemaVersion int    `json:"schemaVersion"`
	Templating    struct {
		List []struct{ Name, Type, Query string }
	}
	Panels []struct {
		ID          int
		Title       string
		Description string
		Datasource  struct{ Type, UID string }
		GridPos     struct{ X, Y, W, H int }
		Targets     []struct {
			Expr       string
			Datasource struct{ Type, UID string }
		}
	}
}

func readDashboards(t *testing.T) map[string]dashboard {
	t.Helper()
	names, err := filepath.Glob("grafana/*.json")
	if err != nil || len(names) == 0 {
		t.Fatalf("no dashboards: %v", err)
	}
	all := map[string]dashboard{}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var d dashboard
		if err := json.Unmarshal(text, &d); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if strings.Contains(string(text), "__inputs") || strings.Contains(string(text), "DS_PROMETHEUS") {
			t.Errorf("%s was exported for import by hand: a provisioned one names its data source by a variable", name)
		}
		all[name] = d
	}
	return all
}

// A provisioned dashboard has a stable uid, and whatever data source is chosen.
func TestDashboardsCanBeProvisioned(t *testing.T) {
	t.Parallel()
	for name, d := range readDashboards(t) {
		if d.ID != nil || d.UID == "" || d.SchemaVersion < 39 {
			t.Errorf("%s: id %v, uid %q, schema %d", name, d.ID, d.UID, d.SchemaVersion)
		}
		if len(d.Templating.List) != 1 || d.Templating.List[0].Name != "datasource" || d.Templating.List[0].Query != "prometheus" {
			t.Errorf("%s: variables %+v", name, d.Templating.List)
		}
		ids := map[int]bool{}
		for _, panel := range d.Panels {
			if panel.Title == "" || panel.Description == "" || len(panel.Targets) == 0 || ids[panel.ID] || panel.Datasource.UID != "${datasource}" {
				t.Errorf("%s: panel %+v", name, panel)
			}
			ids[panel.ID] = true
			if g := panel.GridPos; g.W < 1 || g.H < 1 || g.X < 0 || g.X+g.W > 24 {
				t.Errorf("%s: panel %q stands at %+v", name, panel.Title, g)
			}
			for _, target := range panel.Targets {
				if target.Expr == "" || target.Datasource.UID != "${datasource}" {
					t.Errorf("%s: panel %q asks %+v", name, panel.Title, target)
				}
			}
		}
	}
}

// promtool knows no dashboards: their expressions are judged as rules.
func TestPrometheusUnderstandsEveryPanel(t *testing.T) {
	t.Parallel()
	type rule struct {
		Record string `yaml:"record"`
		Expr   string `yaml:"expr"`
	}
	var made []rule
	for _, d := range readDashboards(t) {
		for _, panel := range d.Panels {
			for _, target := range panel.Targets {
				made = append(made, rule{fmt.Sprintf("panel:%d_%d", panel.ID, len(made)), target.Expr})
			}
		}
	}
	text, err := yaml.Marshal(map[string]any{"groups": []map[string]any{{"name": "panels", "rules": made}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "panels.yml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "rules", file)
}

// Grafana finds the dashboards and the Prometheus of docker-compose.yml by these files.
func TestProvisioningIsReadable(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"grafana/provisioning/datasources/prometheus.yml", "grafana/provisioning/dashboards/pollux.yml"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var found struct {
			APIVersion int `yaml:"apiVersion"`
		}
		if err := yaml.Unmarshal(text, &found); err != nil || found.APIVersion != 1 {
			t.Errorf("%s: version %d, %v", name, found.APIVersion, err)
		}
	}
}

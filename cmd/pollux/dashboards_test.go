package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"pollux/polluxtest"
)

// What stands in an expression of Prometheus beside names of metrics.
var (
	promQuoted   = regexp.MustCompile(`"[^"]*"|'[^']*'`)
	promMatchers = regexp.MustCompile(`\{[^}]*\}`)
	promLabels   = regexp.MustCompile(`\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)`)
	promSpans    = regexp.MustCompile(`\[[^\]]*\]`)
	promWord     = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*\s*\(?`)
	promNumbers  = regexp.MustCompile(`\b\d[\w.]*`)
	promKeywords = []string{"and", "or", "unless", "bool", "offset", "inf", "nan"}
)

// metricsOf are the names of the metrics in an expression: what is neither
// called, nor a label, nor a keyword, so that a misspelt name is among them.
func metricsOf(expr string) (names []string) {
	for _, form := range []*regexp.Regexp{promQuoted, promMatchers, promLabels, promSpans, promNumbers} {
		expr = form.ReplaceAllString(expr, " ")
	}
	for _, word := range promWord.FindAllString(expr, -1) {
		name := strings.TrimSpace(word)
		if strings.HasSuffix(name, "(") || slices.Contains(promKeywords, strings.ToLower(name)) {
			continue
		}
		names = append(names, name)
	}
	return names
}

func TestMetricsOfAnExpression(t *testing.T) {
	t.Parallel()
	for expr, want := range map[string][]string{
		`max by (role) (pollux_nodes{state="inactive"}) > 0`:                                  {"pollux_nodes"},
		`(sum(pollux_leader) or vector(0)) != 1`:                                              {"pollux_leader"},
		`histogram_quantile(0.95, sum by (le) (rate(polux_late_bucket[2m] offset 1m))) > 5e1`: {"polux_late_bucket"},
		`a_total{x=~"b|c"} unless on (queue) d and ignoring(e) f`:                             {"a_total", "d", "f"},
	} {
		if got := metricsOf(expr); !slices.Equal(got, want) {
			t.Errorf("%s names %q, want %q", expr, got, want)
		}
	}
}

// expressions are those of all rules and panels of the folder dashboards.
func expressions(t testing.TB) (all []string) {
	t.Helper()
	var rules struct {
		Groups []struct {
			Rules []struct {
				Expr string `yaml:"expr"`
			} `yaml:"rules"`
		} `yaml:"groups"`
	}
	text, err := os.ReadFile("../../dashboards/rules.yml")
	if err == nil {
		err = yaml.Unmarshal(text, &rules)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			all = append(all, rule.Expr)
		}
	}
	names, err := filepath.Glob("../../dashboards/grafana/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		var board struct {
			Panels []struct {
				Targets []struct {
					Expr string `json:"expr"`
				} `json:"targets"`
			} `json:"panels"`
		}
		text, err := os.ReadFile(name)
		if err == nil {
			err = json.Unmarshal(text, &board)
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, panel := range board.Panels {
			for _, target := range panel.Targets {
				all = append(all, target.Expr)
			}
		}
	}
	if len(all) < 20 {
		t.Fatalf("found only %d expressions", len(all))
	}
	return all
}

// showsDashboards waits until the process exports every metric that a rule or a panel names.
func (r *role) showsDashboards() {
	t := r.t
	t.Helper()
	missing := metricsOfDashboards(t)
	defer func() {
		if t.Failed() {
			t.Errorf("named by a rule or a panel, and not exported: %q", missing)
		}
	}()
	polluxtest.Eventually(t, roleLimit, "every metric of the dashboards is exported", func() bool {
		_, text := r.get("/metrics")
		missing = slices.DeleteFunc(missing, func(name string) bool {
			return strings.Contains(text, "\n"+name+"{") || strings.Contains(text, "\n"+name+" ")
		})
		return len(missing) == 0
	})
}

// metricsOfDashboards are all metrics that a rule or a panel names.
func metricsOfDashboards(t testing.TB) (names []string) {
	t.Helper()
	for _, expr := range expressions(t) {
		names = append(names, metricsOf(expr)...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

package conventions

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// matches returns the first group of each match of pattern in the file, at the
// root of the repository, as a set.
func matches(t *testing.T, file, pattern string) map[string]bool {
	t.Helper()
	text, err := os.ReadFile("../../" + file)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(text), -1) {
		found[m[1]] = true
	}
	if len(found) == 0 {
		t.Fatalf("%s has nothing that matches %s", file, pattern)
	}
	return found
}

// missing reports what is in all and not in there.
func missing(t *testing.T, all, there map[string]bool, what string) {
	t.Helper()
	for name := range all {
		if !there[name] {
			t.Errorf("%s %s", name, what)
		}
	}
}

// TestEveryAlertHasACaseAndARunbook holds together what is written in four files:
// the rules, their cases, the runbooks, and the copy of the rules in the chart.
func TestEveryAlertHasACaseAndARunbook(t *testing.T) {
	alerts := matches(t, "deploy/prometheus/rules.yml", `(?m)^ +- alert: (\w+)$`)
	missing(t, alerts, matches(t, "deploy/prometheus/rules_test.yml", `(?s)alertname: (\w+)\s+exp_alerts:`), "has no case in deploy/prometheus/rules_test.yml in which it fires")
	missing(t, alerts, matches(t, "deploy/prometheus/rules_test.yml", `alertname: (\w+)\}`), "has no case in deploy/prometheus/rules_test.yml in which it does not fire")
	sections := matches(t, "docs/runbooks.md", `(?m)^## (\w+)$`)
	missing(t, alerts, sections, "has no section in docs/runbooks.md")
	missing(t, sections, alerts, "has a section in docs/runbooks.md and is no alert")
	links := matches(t, "deploy/prometheus/rules.yml", `runbook: docs/runbooks\.md#(\w+)`)
	for alert := range alerts {
		if !links[strings.ToLower(alert)] {
			t.Errorf("%s has no annotation runbook: docs/runbooks.md#%s", alert, strings.ToLower(alert))
		}
	}
	if len(links) != len(alerts) {
		t.Errorf("%d alerts have %d runbooks", len(alerts), len(links))
	}
}

// TestRulesAndDashboardAskForMetricsThatThereAre finds names that were changed
// in the code alone.
func TestRulesAndDashboardAskForMetricsThatThereAre(t *testing.T) {
	known := matches(t, "docs/metrics.md", "(?m)^\\| `(handprint_\\w+)` \\|")
	for _, file := range []string{"deploy/prometheus/rules.yml", "deploy/grafana/dashboards/handprint.json"} {
		asked := map[string]bool{}
		for name := range matches(t, file, `\b(handprint_\w+)`) {
			for _, suffix := range []string{"_bucket", "_sum", "_count"} { // of histograms
				if base := strings.TrimSuffix(name, suffix); known[base] {
					name = base
				}
			}
			asked[name] = true
		}
		missing(t, asked, known, "is asked for by "+file+" and is not in docs/metrics.md")
	}
}

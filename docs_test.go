package pollux_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pollux/device"
	"pollux/settings"
)

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// files are the names of the files with a suffix, generated and hidden folders left out.
func files(t *testing.T, suffix string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && name != "." && (strings.HasPrefix(entry.Name(), ".") || name == "bin" || strings.HasSuffix(name, "-data")):
			return filepath.SkipDir
		case strings.HasSuffix(name, suffix) && strings.HasSuffix(name, "_test.go") == (suffix == "_test.go"):
			found = append(found, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// matches are the first groups of all matches in the text, each once.
func matches(pattern, text string) []string {
	var found []string
	for _, match := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		found = append(found, match[1])
	}
	slices.Sort(found)
	return slices.Compact(found)
}

func TestConfigurationNamesEveryVariable(t *testing.T) {
	t.Parallel()
	source, page := read(t, "config/load.go"), read(t, "docs/configuration.md")
	own, rest, found := strings.Cut(source, "type rawRedis struct {")
	redis, _, closed := strings.Cut(rest, "\n}")
	if !found || !closed {
		t.Fatal("config/load.go has no rawRedis: this test reads its tags")
	}
	variables := matches(`env:"(\w+)"`, own)
	for _, prefix := range matches(`envPrefix:"(\w+)"`, own) {
		for _, name := range matches(`env:"(\w+)"`, redis) {
			variables = append(variables, prefix+name)
		}
	}
	if len(variables) < 40 {
		t.Errorf("found only %d variables in config/load.go: %v", len(variables), variables)
	}
	for _, name := range variables {
		if !strings.Contains(page, "`"+name+"`") {
			t.Errorf("docs/configuration.md does not name %s", name)
		}
	}
}

func TestConfigurationNamesEverySettingWithItsDefault(t *testing.T) {
	t.Parallel()
	page := read(t, "docs/configuration.md")
	for _, s := range settings.All() {
		if row := "| `" + s.Key + "` | `" + s.Default + "` |"; !strings.Contains(page, row) {
			t.Errorf("docs/configuration.md has no row %s", row)
		}
	}
	_, table, _ := strings.Cut(page, "## Settings")
	for _, key := range matches("(?m)^\\| `([^`]+)`", table) {
		if _, err := settings.Find(key); err != nil {
			t.Errorf("docs/configuration.md: %v", err)
		}
	}
}

// metricForms are the ways in which packages write the names of metrics.
var metricForms = []string{
	`Name:\s*"pollux_(\w+)"`,
	`Namespace:\s*"pollux",\s*Name:\s*"(\w+)"`,
	`\b(?:counter|gauge|histogram)\((?:\w+, )?"(\w+)"`,
}

func TestMetricsPageNamesEveryMetricAndNoOther(t *testing.T) {
	t.Parallel()
	var exported []string
	for _, name := range files(t, ".go") {
		source := read(t, name)
		for _, form := range metricForms {
			exported = append(exported, matches(form, source)...)
		}
	}
	slices.Sort(exported)
	exported = slices.Compact(exported)
	if len(exported) < 25 {
		t.Errorf("found only %d metrics in the source: %v", len(exported), exported)
	}
	described := matches("(?m)^\\| `pollux_(\\w+)`", read(t, "docs/metrics.md"))
	for _, name := range exported {
		if !slices.Contains(described, name) {
			t.Errorf("docs/metrics.md does not describe pollux_%s", name)
		}
	}
	for _, name := range described {
		if !slices.Contains(exported, name) {
			t.Errorf("docs/metrics.md describes pollux_%s, which nothing exports", name)
		}
	}
}

func TestCommandLinePageNamesEveryCommandAndFlag(t *testing.T) {
	t.Parallel()
	page := read(t, "docs/cli.md")
	commands := 0
	for _, name := range files(t, ".go") {
		if filepath.Dir(name) != "cmd/pollux" {
			continue
		}
		source := read(t, name)
		for _, use := range matches(`Use:\s*"([^"]+)"`, source) {
			commands++
			if heading := regexp.MustCompile(`(?m)^#.* ` + regexp.QuoteMeta(use) + `$`); !heading.MatchString(page) {
				t.Errorf("docs/cli.md has no heading for the command %q of %s", use, name)
			}
		}
		for _, flag := range matches(`\w+VarP?\(&[\w.]+, "([\w-]+)"`, source) {
			if !strings.Contains(page, "--"+flag) {
				t.Errorf("docs/cli.md does not name the flag --%s of %s", flag, name)
			}
		}
	}
	if commands < 25 {
		t.Errorf("found only %d commands in cmd/pollux", commands)
	}
}

// eventForms are the ways in which packages write the types of events.
var eventForms = []string{
	`\bType:\s*"(\w+)", Severity`,
	`\.event\([\w.]+, "(\w+)"`,
	`\beventCoverage\s*=\s*"(\w+)"`,
}

func TestEveryTypeOfEventIsKnownAndDescribed(t *testing.T) {
	t.Parallel()
	var written []string
	for _, name := range files(t, ".go") {
		source := read(t, name)
		for _, form := range eventForms {
			written = append(written, matches(form, source)...)
		}
	}
	// The status of a device is the type of the event about it.
	written = append(written, string(device.StatusUp), string(device.StatusDown), string(device.StatusAuth))
	// So is the kind of a component.
	for _, kind := range device.ComponentKinds() {
		written = append(written, string(kind))
	}
	slices.Sort(written)
	written = slices.Compact(written)
	if !slices.Equal(written, device.EventTypes()) {
		t.Errorf("events of the types %v are written, device.EventTypes has %v", written, device.EventTypes())
	}
	page := read(t, "docs/cli.md")
	for _, kind := range device.EventTypes() {
		if !regexp.MustCompile("(?m)^\\| (`\\w+`, )*`" + kind + "`").MatchString(page) {
			t.Errorf("docs/cli.md does not describe events of type %s", kind)
		}
	}
}

func TestDocumentationNamesTestsThatExist(t *testing.T) {
	t.Parallel()
	var tests []string
	for _, name := range files(t, "_test.go") {
		tests = append(tests, matches(`(?m)^func (Test\w+)\(`, read(t, name))...)
	}
	faults := regexp.MustCompile("^Test(Fault|Soak|Data|Sick)([A-Z]|$)")
	page, failures := read(t, "docs/seed-checklist.md"), read(t, "docs/how-to/high-availability.md")
	for _, name := range tests {
		if faults.MatchString(name) && !strings.Contains(failures, "| "+name+" |") {
			t.Errorf("docs/how-to/high-availability.md has no row of %s", name)
		}
	}
	for _, name := range matches(`\b(Test[A-Z]\w+)`, page+failures) {
		if name != "TestFault" && name != "TestData" && !slices.Contains(tests, name) {
			t.Errorf("the documentation names %s, which does not exist", name)
		}
	}
	if rows := len(matches(`(?m)^\| (R\d+) \|`, page)); rows != 40 {
		t.Errorf("the checklist has %d rows, want 40", rows)
	}
	for _, row := range matches(`(?m)^\| (R\d+ .*)$`, page) {
		if !strings.Contains(row, "Test") && !strings.Contains(row, "page: later") {
			t.Errorf("no test and no later page: %s", row)
		}
	}
}

func TestRelativeLinksResolve(t *testing.T) {
	t.Parallel()
	links := 0
	for _, name := range files(t, ".md") {
		for _, link := range matches(`\]\(([^)\s]+)\)`, read(t, name)) {
			target, anchor, _ := strings.Cut(link, "#")
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			links++
			file := name
			if target != "" {
				file = filepath.Join(filepath.Dir(name), target)
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s links to %s: %v", name, link, err)
				continue
			}
			if anchor != "" && !slices.Contains(anchors(read(t, file)), anchor) {
				t.Errorf("%s links to %s, which has no such heading", name, link)
			}
		}
	}
	if links < 30 {
		t.Errorf("found only %d relative links", links)
	}
}

// anchors are the headings of a page as links name them.
func anchors(page string) []string {
	found := matches(`(?m)^#+ (.+)$`, page)
	for i, heading := range found {
		heading = regexp.MustCompile(`[^\w -]`).ReplaceAllString(strings.ToLower(heading), "")
		found[i] = strings.ReplaceAll(heading, " ", "-")
	}
	return found
}

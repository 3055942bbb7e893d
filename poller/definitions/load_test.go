package definitions

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// folder writes files of definitions and returns their directory.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func load(t *testing.T, files map[string]string) (*Set, []FileError) {
	t.Helper()
	set, problems, err := Load(folder(t, files))
	if err != nil {
		t.Fatal(err)
	}
	return set, problems
}

func TestEmbeddedDefinitionsAreSound(t *testing.T) {
	t.Parallel()
	set, problems, err := Load("")
	if err != nil || len(problems) > 0 {
		t.Fatalf("%v; problems %v", err, problems)
	}
	for _, folder := range []string{"os", "mibs"} {
		files, err := embedded.ReadDir(folder)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			content, err := embedded.ReadFile(folder + "/" + file.Name())
			if err == nil {
				err = checkItems(content)
			}
			if err != nil {
				t.Errorf("%s: %v", file.Name(), err)
			}
		}
	}
	for _, o := range set.OSes() {
		if o != set.Generic() && o.Type == "" || o != set.Generic() && len(o.Detect) == 0 {
			t.Errorf("%s has no type or cannot be recognised", o.File())
		}
	}
}

const good = `
os: mybox
text: My box
type: network
detect:
  - sysObjectID: 1.3.6.1.4.1.99999.1
processors:
  - scalars: 1.3.6.1.4.1.99999.2
    columns: {usage: 1}
    value: usage
`

func TestAWrongFileIsLeftOutWithItsLine(t *testing.T) {
	t.Parallel()
	for reason, text := range map[string]string{
		`line 6: "1.3.6.x" is no numeric OID`:           strings.Replace(good, "1.3.6.1.4.1.99999.1", "1.3.6.x", 1),
		`line 6: ".1.3.6.1" is no numeric OID`:          strings.Replace(good, "1.3.6.1.4.1.99999.1", ".1.3.6.1", 1),
		"line 6: error parsing regexp":                  strings.Replace(good, "sysObjectID: 1.3.6.1.4.1.99999.1", "sysDescr_regex: '(unclosed'", 1),
		"line 11: template":                             good + "    descr: \"CPU {\"\n",
		`"nothing" is no column of this table`:          good + "    descr: \"CPU {nothing}\"\n",
		`line 4: mapping values are not allowed`:        strings.Replace(good, "type: network", "type: net: work", 1),
		`field colour not found`:                        good + "colour: red\n",
		`line 11: modules: "wireless" is none of`:       good + "modules: {wireless: false}\n",
		`line 12: poller_modules: "vlans" is none of`:   good + "# comment\npoller_modules: {vlans: false}\n",
		"line 11: poller_modules: icmp: only false":     good + "poller_modules: {icmp: true, ports: false}\n",
		"vlans: only false means something":             good + "modules: {vlans: true, neighbours: false}\n",
		`line 4: type "toaster" is none of`:             strings.Replace(good, "network", "toaster", 1),
		`line 12: include: there is no file mibs/nowh`:  good + "include:\n  - nowhere\n",
		`line 12: exclude: storage: there is no file`:   good + "exclude:\n  storage: [nowhere]\n",
		`line 11: a name is expected`:                   good + "include: ['']\n",
		`field empty_ifDescr not found`:                 good + "ports: {empty_ifDescr: true}\n",
		`line 2: os is "mybox", the file's name says`:   good,
		`one of table and scalars is needed`:            strings.Replace(good, "scalars:", "table: 1.3.6.1.4.1.99999.3\n    scalars:", 1),
		"value is missing":                              strings.Replace(good, "    value: usage\n", "", 1),
		"line 7: an item of a list is empty":            strings.Replace(good, "processors:", "  -\nprocessors:", 1), // it would fit every device
		"line 11: an item of a list is empty":           good + "  - # later\n",
		"line 6: an item of a list is empty":            strings.Replace(good, "sysObjectID: 1.3.6.1.4.1.99999.1", "sysDescr_regex: ['x', ~]", 1),
		"line 6: a text of sysDescr is empty":           strings.Replace(good, "sysObjectID: 1.3.6.1.4.1.99999.1", `sysDescr: ["x", ""]`, 1),
		"line 7: a text of sysDescr is empty":           strings.Replace(good, "sysObjectID: 1.3.6.1.4.1.99999.1", "sysDescr: x\n    except: {sysDescr: ''}", 1),
		"line 6: a regular expression is a text that":   strings.Replace(good, "sysObjectID: 1.3.6.1.4.1.99999.1", "sysDescr_regex: ''", 1),
		"line 11: ports: a text of skip_ifDescr is emp": good + "ports: {skip_ifDescr: ''}\n",
		`line 11: "nan" is no finite number`:            good + "    warn: nan\n",
		`line 11: ".inf" is neither a number`:           good + "    multiplier: .inf\n",
		`line 11: "inf" is no finite number`:            good + "    multiplier: {of: usage, map: {a: inf}}\n",
		`line 11: "-inf" is no finite number`:           good + "    multiplier: {of: usage, map: {a: 1}, default: -inf}\n",
		"line 11: nothing can be divided by 0":          good + "    divisor: 0\n",
		"line 11: a multiplier of 0 leaves nothing":     good + "    multiplier: 0\n",
		`line 11: "used" is there twice`:                good + "    warn: {of: usage, map: {\"used\": 1, \"used\": 2}}\n",
		`line 11: divisor is empty`:                     good + "    divisor:\n",
		`line 7: sysDescr is empty`:                     strings.Replace(good, "processors:", "    sysDescr: # later\nprocessors:", 1), // the rule would fit more
		`line 10: "usag" is no column`:                  strings.Replace(good, "value: usage", "value: usag", 1),
		`line 11: exclude: "ports" is none of`:          good + "exclude: {ports: [ucd]}\n",
		`line 3: text is empty`:                         strings.Replace(good, "text: My box", "text:", 1),
		`line 11: a unit of 0 leaves nothing`:           good + "mempools: [{scalars: 1.3.6.1.4.1.9, columns: {a: 1, b: 2}, used: a, total: b, unit: 0}]\n",
		`line 11: a total of -3 cannot be`:              good + "mempools: [{scalars: 1.3.6.1.4.1.9, columns: {a: 1, b: 2}, used: a, total: -3}]\n",
		`a rule needs sysObjectID`:                      strings.Replace(good, "sysObjectID: 1.3.6.1.4.1.99999.1", "except: {sysDescr: x}", 1),
		`line 11: polling: selected_ports is auto, tru`: good + "polling: {selected_ports: maybe}\n",
	} {
		name := "os/mybox.yaml"
		if strings.Contains(reason, "file's name") { // the file has a blank line first
			name = "os/box.yaml"
		}
		set, problems := load(t, map[string]string{name: text, "os/other.yaml": strings.ReplaceAll(good, "mybox", "other")})
		if len(problems) != 1 || !strings.HasSuffix(problems[0].File, name) || strings.Count(problems[0].Error(), reason) != 1 {
			t.Errorf("want %q, got %v", reason, problems)
		}
		if set.Find("other") == nil || set.Find("linux") == nil || set.Find("mybox") != nil {
			t.Errorf("%q: the other definitions are not there, or the wrong one is", reason)
		}
	}
}

// Whoever writes a file waits for what it says: one that is not read must not be silent.
func TestAFileThatIsNotReadIsToldOf(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"os/mybox.yml": good, "os/other.YAML": good, "mibs/tables.yml": "mib: tables\n", "mybox.yaml": good, "mybox.yml": good,
		"README": "", "os/notes.txt": "", "os/mybox.yaml~": good, "mibs/archive.yml/x": "", "os/real.yaml": strings.Replace(good, "mybox", "real", 1),
	}
	dir := folder(t, files)
	set, problems, err := Load(dir)
	if err != nil || set.Find("real") == nil || set.Find("mybox") != nil {
		t.Error(err, "the good file is not read, or another one is")
	}
	got := make(map[string]string, len(problems))
	for _, p := range problems {
		got[strings.TrimPrefix(p.File, dir+"/")] = p.Reason
	}
	for file, says := range map[string]string{
		"os/mybox.yml": "call it mybox.yaml", "os/other.YAML": "call it other.yaml", "mibs/tables.yml": "call it tables.yaml",
		"mybox.yaml": "from the folder os", "mybox.yml": "from the folder os",
	} {
		if !strings.Contains(got[file], says) {
			t.Errorf("%s: %q does not say %q", file, got[file], says)
		}
	}
	if len(problems) != 5 {
		t.Errorf("%d problems: %v", len(problems), problems)
	}
	if p := Check(filepath.Join(dir, "os/mybox.yml")); p == nil || !strings.Contains(p.Error(), "os/mybox.yml: it is not read") {
		t.Errorf("check says %v", p)
	}
}

func TestAllOfAFilesFaultsAreTold(t *testing.T) {
	t.Parallel()
	file := filepath.Join(folder(t, map[string]string{"os/mybox.yaml": strings.NewReplacer(
		"1.3.6.1.4.1.99999.1", "router", "{usage: 1}", "{usage: one}").Replace(good)}), "os/mybox.yaml")
	problem := Check(file)
	if problem == nil || strings.Count(problem.Error(), file+": line ") != 2 {
		t.Errorf("two faults give %v", problem)
	}
	if problem := Check(filepath.Join(folder(t, map[string]string{"os/mybox.yaml": good}), "os/mybox.yaml")); problem != nil {
		t.Error(problem)
	}
	if Check(filepath.Join(t.TempDir(), "missing.yaml")) == nil {
		t.Error("a missing file is sound")
	}
}

func TestTheUsersDirectoryReplacesAndAdds(t *testing.T) {
	t.Parallel()
	former, _ := load(t, map[string]string{})
	set, problems := load(t, map[string]string{
		"os/mybox.yaml":      good + "include: [mytables]\n",
		"os/linux.yaml":      strings.ReplaceAll(good, "mybox", "linux"),
		"mibs/mytables.yaml": "mib: mytables\nsensors:\n  - scalars: 1.3.6.1.4.1.99999.4\n    columns: {t: 1}\n    class: temperature\n    value: t\n",
	})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if len(set.OSes()) != len(former.OSes())+1 {
		t.Errorf("%d operating systems, %d without the user's own", len(set.OSes()), len(former.OSes()))
	}
	if o := set.Find("linux"); o.Text != "My box" || o.Fallback {
		t.Errorf("linux is still %q", o.Text)
	}
	own := set.Find("mybox").All()
	if !slices.ContainsFunc(own.Sensors, func(s *Sensor) bool { return s.Type == "mytables" }) {
		t.Error("the tables of the user's file are not there")
	}
	// A wrong file of the user leaves what is embedded.
	set, problems = load(t, map[string]string{"os/linux.yaml": "os: linux\n"})
	if len(problems) != 1 || set.Find("linux").Text != former.Find("linux").Text {
		t.Errorf("problems %v, linux is %q", problems, set.Find("linux").Text)
	}
	// So does one that needs a file which is not there.
	set, problems = load(t, map[string]string{"os/linux.yaml": strings.ReplaceAll(good, "mybox", "linux") + "include: [mytables]\n", "mibs/mytables.yaml": "mib: mytables\nsensors:\n  -\n"})
	if len(problems) != 2 || set.Find("linux") == nil || set.Find("linux").Text != former.Find("linux").Text || len(set.Find("linux").All().Storage) == 0 {
		t.Errorf("problems %v, linux is %+v", problems, set.Find("linux"))
	}
	if _, _, err := Load(filepath.Join(t.TempDir(), "nowhere")); err == nil {
		t.Error("a directory that does not exist is taken")
	}
}

func TestAnExcludedFileOfTablesIsNotTried(t *testing.T) {
	t.Parallel()
	count := func(text string) int {
		set, problems := load(t, map[string]string{"os/mybox.yaml": text})
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		return len(set.Find("mybox").All().Sensors)
	}
	with, without := count(good), count(good+"exclude: {sensors: [entity-sensor]}\n")
	if without >= with {
		t.Errorf("%d tables of sensors with ENTITY-SENSOR-MIB, %d without", with, without)
	}
}

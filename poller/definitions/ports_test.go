package definitions

import (
	"path/filepath"
	"strings"
	"testing"
)

const portTables = `ports:
  skip_ifName_regex: ['^tmp']
  tables:
    - name: vrtr
      table: 1.3.6.1.4.1.99999.7.1
      columns:
        ifName: 4
        ifHCInOctets: {oid: 1.3.6.1.4.1.99999.8.1.5}
      ifIndex: "{index[-1]}"
      standard: [1, "3.4"]
      maps:
        ifOperStatus: {2: up, 3: down}
        ifType: {5: serviceVprn}
`

func TestTablesOfPorts(t *testing.T) {
	t.Parallel()
	set, problems := load(t, map[string]string{"os/mybox.yaml": good + portTables})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	ports := &set.Find("mybox").Ports
	table := ports.Find("vrtr")
	if table == nil || ports.Find("other") != nil || (*Ports)(nil).Find("vrtr") != nil {
		t.Fatalf("tables %+v", ports.Tables)
	}
	for name, want := range map[string]string{"ifName": "1.3.6.1.4.1.99999.7.1.4", "ifHCInOctets": "1.3.6.1.4.1.99999.8.1.5", "ifMtu": ""} {
		if got := string(table.Column(name)); got != want {
			t.Errorf("column %s is %q, want %q", name, got, want)
		}
	}
	for index, want := range map[string]int64{"2.3": 3, "7": 7, "2.0": 0, "2.2147483648": 0, "2.2147483647": 1<<31 - 1, "": 0, "2.x": 0} {
		if n, ok := table.Index(index); ok != (want > 0) || ok && n != want {
			t.Errorf("the number of row %q is %d, %v; want %d", index, n, ok, want)
		}
	}
	for index, want := range map[string]bool{"1.7": true, "1": true, "10.7": false, "3.4": true, "3.4.9": true, "3.41": false, "2.1": false} {
		if table.IsStandard(index) != want {
			t.Errorf("row %s is one of the IF-MIB: %v", index, !want)
		}
	}
	if table.Maps.OperStatus[3] != "down" || table.Maps.Type[5] != "serviceVprn" || !ports.Skips("x", "tmp1", "other") {
		t.Errorf("%+v", table)
	}
}

func TestWrongTablesOfPortsAreToldOf(t *testing.T) {
	t.Parallel()
	at := func(from, to string) string { return good + strings.Replace(portTables, from, to, 1) }
	for reason, text := range map[string]string{
		`"VRTR 1" is no name of a table`:           at("name: vrtr", "name: VRTR 1"),
		"line 18: ports: inOctets is no column":    at("ifHCInOctets: {", "inOctets: {"),
		"has no column ifName":                     at("ifName: 4", "ifAlias: 4"),
		`"ifName" is there twice`:                  at("ifName: 4", "ifName: 4\n        ifName: 5"),
		"have the index of their row":              at("99999.8.1.5}", `99999.8.1.5, index: "{ifName}"}`),
		"table is missing, which it stands below":  at("      table: 1.3.6.1.4.1.99999.7.1\n", ""),
		"of the row's index only, not of {ifName}": at("{index[-1]}", "{ifName}"),
		`"1.x" is no beginning of an index`:        at(`standard: [1, "3.4"]`, `standard: "1.x"`),
		`ifOperStatus: 2: "yes" is none of`:        at("2: up", "2: yes"),
		`line 22: "two" is no number`:              at("2: up", "two: up"),
		`"a b" is no name of a state or type`:      at("serviceVprn", "a b"),
		"the table vrtr is there twice":            good + portTables + "    - {name: vrtr, columns: {ifName: {oid: 1.3.6.1.4.1.99999.9.1}}}\n",
		"an item of a list is empty":               good + portTables + "    -\n",
		"more than 4 tables":                       good + portTables + strings.Repeat("    - {name: x, columns: {ifName: {oid: 1.3.6.1.4.1.99999.9.1}}}\n", 4),
		"field other not found":                    good + portTables + "      other: 1\n",
	} {
		problem := Check(filepath.Join(folder(t, map[string]string{"os/mybox.yaml": text}), "os/mybox.yaml"))
		if problem == nil || !strings.Contains(problem.Error(), reason) {
			t.Errorf("want %q, got %v", reason, problem)
		}
	}
	if problem := Check(filepath.Join(folder(t, map[string]string{"os/mybox.yaml": good + portTables}), "os/mybox.yaml")); problem != nil {
		t.Error(problem)
	}
}

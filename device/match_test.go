package device_test

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"pollux/device"
)

func TestMatchPorts(t *testing.T) {
	t.Parallel()
	gone := true
	known := func(index int64, name string, vanished ...bool) device.Port {
		return device.Port{State: device.PortState{IfIndex: index, IfName: name}, Vanished: len(vanished) > 0}
	}
	row := func(index int64, name string) device.PortReading {
		return device.PortReading{State: device.PortState{IfIndex: index, IfName: name}}
	}
	identified := func(id, index int64, name string) device.Port {
		return device.Port{ID: id, State: device.PortState{IfIndex: index, IfName: name}}
	}
	carrying := func(id, index int64, name string) device.PortReading {
		return device.PortReading{PortID: id, State: device.PortState{IfIndex: index, IfName: name}}
	}
	in := func(row string, index int64, name string, vanished ...bool) device.Port {
		return device.Port{State: device.PortState{IfIndex: index, IfName: name, Row: row}, Vanished: len(vanished) > 0}
	}
	at := func(row string, index int64, name string) device.PortReading {
		return device.PortReading{State: device.PortState{IfIndex: index, IfName: name, Row: row}}
	}
	for _, c := range []struct {
		name  string
		known []device.Port
		rows  []device.PortReading
		want  []int
	}{
		{"the same row of another table, whatever its number", []device.Port{in("v:2.3", 3, "a"), in("v:5.3", 1<<32, "a")},
			[]device.PortReading{at("v:5.3", 3, "a"), at("v:2.3", 1<<32, "a")}, []int{1, 0}},
		{"the IF-MIB gets the number and the name of a row of another table", []device.Port{in("v:2.3", 3, "a")},
			[]device.PortReading{row(3, "a"), at("v:2.3", 1<<32, "a")}, []int{-1, 0}},
		{"another table gets the number and the name of a port of the IF-MIB", []device.Port{known(3, "a")},
			[]device.PortReading{at("v:2.3", 3, "a")}, []int{-1}},
		{"the same row of two tables", []device.Port{in("v:1", 1, "a"), in("w:1", 2, "a")},
			[]device.PortReading{at("w:1", 1, "a"), at("v:1", 2, "a")}, []int{1, 0}},
		{"rows of another table were numbered anew", []device.Port{in("v:2.3", 3, "a"), in("v:2.4", 4, "b"), known(5, "a")},
			[]device.PortReading{at("v:2.3", 3, "b"), at("v:7.4", 4, "a"), row(5, "a")}, []int{1, 0, 2}},
		{"a name of two rows says nothing", []device.Port{in("v:2.3", 3, "a"), in("v:5.3", 1<<32, "a")},
			[]device.PortReading{at("v:6.3", 3, "a")}, []int{-1}},
		{"a row came back", []device.Port{in("v:2.3", 3, "a", gone)}, []device.PortReading{at("v:2.3", 9, "a")}, []int{0}},
		{"nothing known", nil, []device.PortReading{row(1, "a")}, []int{-1}},
		{"nothing read", []device.Port{known(1, "a")}, nil, []int{}},
		{"all the same", []device.Port{known(1, "a"), known(2, "b")},
			[]device.PortReading{row(2, "b"), row(1, "a"), row(3, "c")}, []int{1, 0, -1}},
		{"renumbered", []device.Port{known(1, "a"), known(2, "b"), known(3, "c")},
			[]device.PortReading{row(1, "b"), row(2, "c"), row(3, "a")}, []int{1, 2, 0}},
		{"a card was put in front", []device.Port{known(1, "a"), known(2, "b")},
			[]device.PortReading{row(1, "new"), row(2, "a"), row(3, "b")}, []int{-1, 0, 1}},
		{"renamed", []device.Port{known(1, "a"), known(2, "b")},
			[]device.PortReading{row(1, "wan"), row(2, "b")}, []int{0, 1}},
		{"names that stand twice say nothing", []device.Port{known(1, "x"), known(2, "x")},
			[]device.PortReading{row(2, "x"), row(3, "x")}, []int{1, -1}},
		{"a name that became double", []device.Port{known(1, "x")},
			[]device.PortReading{row(2, "x"), row(3, "x")}, []int{-1, -1}},
		{"no names", []device.Port{known(1, ""), known(2, "")},
			[]device.PortReading{row(2, ""), row(3, "")}, []int{1, -1}},
		{"came back", []device.Port{known(1, "a", gone)}, []device.PortReading{row(1, "a")}, []int{0}},
		{"came back with another number", []device.Port{known(1, "a", gone)}, []device.PortReading{row(9, "a")}, []int{0}},
		{"came back to a number that was given away", []device.Port{known(1, "a", gone), known(1, "b")},
			[]device.PortReading{row(1, "a"), row(2, "a")}, []int{0, -1}},
		{"the number of a vanished port was given away", []device.Port{known(1, "a", gone)},
			[]device.PortReading{row(1, "b")}, []int{-1}},
		{"a present port comes before a vanished one", []device.Port{known(1, "a", gone), known(2, "a")},
			[]device.PortReading{row(3, "a")}, []int{1}},
		{"the id wins", []device.Port{identified(5, 1, "a"), identified(6, 2, "b")}, []device.PortReading{carrying(6, 1, "a")}, []int{1}},
		{"an id of another device", []device.Port{identified(5, 1, "a")}, []device.PortReading{carrying(99, 1, "a")}, []int{0}},
		{"one id twice", []device.Port{identified(5, 1, "a")}, []device.PortReading{carrying(5, 1, "a"), carrying(5, 2, "b")}, []int{0, -1}},
		{"a present port has the number of a vanished one", []device.Port{known(1, "a", gone), known(1, "b")},
			[]device.PortReading{row(1, "c")}, []int{1}},
	} {
		if got := device.MatchPorts(c.known, c.rows); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// Whatever the order, each row gets the same port and no port is given twice.
func TestMatchPortsDoesNotDependOnOrder(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		var known []device.Port
		var rows []device.PortReading
		for i := range 6 {
			name := func() string { return strconv.Itoa(random.IntN(7)) }
			known = append(known, device.Port{ID: int64(i + 1), State: device.PortState{IfIndex: int64(i), IfName: name()}})
			rows = append(rows, device.PortReading{State: device.PortState{IfIndex: int64(i + random.IntN(2)*6), IfName: name()}})
		}
		found := map[int64]int64{} // port by ifIndex of the row
		for i, k := range device.MatchPorts(known, rows) {
			if k >= 0 {
				found[rows[i].State.IfIndex] = known[k].ID
			}
		}
		random.Shuffle(6, func(i, j int) { known[i], known[j] = known[j], known[i] })
		random.Shuffle(6, func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
		given := map[int]bool{}
		for i, k := range device.MatchPorts(known, rows) {
			id := int64(0)
			if k >= 0 {
				id = known[k].ID
				if given[k] {
					t.Fatalf("port %d is given twice", id)
				}
				given[k] = true
			}
			if found[rows[i].State.IfIndex] != id {
				t.Fatalf("row %+v is port %d, in another order %d", rows[i], found[rows[i].State.IfIndex], id)
			}
		}
	}
}

package poller

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"pollux/billing"
	"pollux/device"
	"pollux/secret"
	"pollux/simulator"
	"pollux/snmp"
)

// standing is a simulated device at one moment, so that its counters are known to the byte.
type standing struct {
	t       *testing.T
	agent   *simulator.Agent
	ahead   atomic.Int64 // of standingAt, in ns
	ports   int
	version snmp.Version
	objects int
}

var standingAt = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

var standingSlot = standingAt.Unix()

func newStanding(t *testing.T, c simulator.Config) *standing {
	t.Helper()
	s := &standing{t: t, ports: c.Ports, version: snmp.V2c}
	c.Listen, c.Now = "127.0.0.1:0", s.now
	c.V3 = &simulator.User{
		Name: "monitor", AuthProtocol: "SHA-256", AuthPassword: secret.New("first password"), PrivProtocol: "AES", PrivPassword: secret.New("second password"),
	}
	var err error
	if s.agent, err = simulator.New(c, nil); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.agent.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-s.agent.Ready():
	case err := <-ended:
		ended <- err
		t.Fatal("the simulator ended:", err)
	}
	return s
}

func (s *standing) now() time.Time { return standingAt.Add(time.Duration(s.ahead.Load())) }

// target is the device with its ports as they were numbered at first.
func (s *standing) target(name string) BillTarget {
	target := BillTarget{Device: device.Device{Status: device.StatusUp, Credentials: snmp.Credentials{Version: s.version}}, MaxObjects: s.objects, Slot: standingSlot, Interval: 300}
	for port := 1; port <= s.ports; port++ {
		target.Ports = append(target.Ports, billing.Port{ID: int64(1000 + port), Index: int64(port), Name: fmt.Sprintf(name, port), Speed: 1e9})
	}
	return target
}

// session opens a session, and counts what it sends.
func (s *standing) session() *snmp.Session {
	s.t.Helper()
	credentials := snmp.Credentials{Version: s.version, Community: secret.New("public")}
	if s.version == snmp.V3 {
		credentials = snmp.Credentials{
			Version: s.version, User: "monitor", AuthProtocol: "SHA-256", AuthPassword: secret.New("first password"), PrivProtocol: "AES", PrivPassword: secret.New("second password"),
		}
	}
	session, err := snmp.Dial(s.t.Context(), snmp.Target{
		Host: "127.0.0.1", Port: s.agent.Addr(0).Port(), Timeout: time.Second, Retries: 2, Credentials: credentials, MaxObjects: s.objects,
	}, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := session.Close(); err != nil {
			s.t.Error(err)
		}
	})
	return session
}

// check compares each reading with the closed form. missing are the ports that may lack one.
func (s *standing) check(r BillReport, wide bool, missing ...int64) {
	s.t.Helper()
	model := s.agent.Model()
	if len(r.Readings) != s.ports-len(missing) || len(r.Missing) != len(missing) {
		s.t.Fatalf("%d readings, missing %v (%s)", len(r.Readings), r.Missing, r.Reason)
	}
	for _, id := range missing {
		if _, lacks := r.Missing[id]; !lacks {
			s.t.Errorf("port %d is not missing", id)
		}
	}
	for _, got := range r.Readings {
		port := int(got.Port) - 1000
		in, out := model.Counter(0, port, simulator.InOctets, s.now()), model.Counter(0, port, simulator.OutOctets, s.now())
		if !wide {
			in, out = uint64(uint32(in)), uint64(uint32(out))
		}
		width := 64
		if !wide {
			width = 32
		}
		want := billing.Reading{
			Port: got.Port, Slot: standingSlot, Interval: 300, Index: int64(model.IfIndex(0, port, s.now())), In: in, Out: out, Bits: width, Read: got.Read,
			Uptime: model.SysUpTime(0, s.now()), Discontinuity: got.Discontinuity, Speed: 1e9,
		}
		if got != want || got.Read.IsZero() {
			s.t.Errorf("port %d:\ngot  %+v\nwant %+v", port, got, want)
		}
	}
}

func TestReadBilledAgainstTheClosedForm(t *testing.T) {
	t.Parallel()
	shuffle := []simulator.Sickness{{Ailment: simulator.Shuffle, At: standingAt.Add(-time.Hour)}}
	for name, c := range map[string]struct {
		config   simulator.Config
		version  snmp.Version
		objects  int
		wide     bool
		requests int // at most
	}{
		"v2c":                 {simulator.Config{Ports: 48}, snmp.V2c, 0, true, 6},
		"one port":            {simulator.Config{Ports: 1}, snmp.V2c, 0, true, 1},
		"nine ports":          {simulator.Config{Ports: 9}, snmp.V2c, 0, true, 1},
		"v3":                  {simulator.Config{Ports: 48}, snmp.V3, 0, true, 6},
		"v1":                  {simulator.Config{Ports: 12}, snmp.V1, 0, false, 3},
		"few objects at once": {simulator.Config{Ports: 12}, snmp.V2c, 11, true, 6},
		"small replies":       {simulator.Config{Ports: 24, MaxMessage: 484}, snmp.V2c, 0, true, 15},
		"another numbering":   {simulator.Config{Ports: 24, Sick: shuffle}, snmp.V2c, 0, true, 7},
		"narrow":              {simulator.Config{Ports: 12, Sick: []simulator.Sickness{{Ailment: simulator.Narrow, At: standingAt.Add(-time.Hour)}}}, snmp.V2c, 0, false, 5},
		"a reset":             {simulator.Config{Ports: 3, Sick: []simulator.Sickness{{Ailment: simulator.Reset, At: standingAt.Add(-time.Minute)}}}, snmp.V2c, 0, true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStanding(t, c.config)
			s.version, s.objects = c.version, c.objects
			session := s.session()
			r := ReadBilled(t.Context(), session, s.target("GigabitEthernet0/%d"))
			s.check(r, c.wide)
			if r.Requests > c.requests {
				t.Errorf("%d requests, want at most %d", r.Requests, c.requests)
			}
			if r.FirstRequest.IsZero() || r.Readings[0].Read.Before(r.FirstRequest) {
				t.Errorf("the first request was at %v, the first reading at %v", r.FirstRequest, r.Readings[0].Read)
			}
		})
	}
}

// What restarted a port's counters is read with them.
func TestReadBilledTellsOfDiscontinuities(t *testing.T) {
	t.Parallel()
	s := newStanding(t, simulator.Config{Ports: 2, Sick: []simulator.Sickness{{Ailment: simulator.Reset, At: standingAt.Add(-time.Minute), Only: &simulator.Spot{Port: 2}}}})
	r := ReadBilled(t.Context(), s.session(), s.target("GigabitEthernet0/%d"))
	s.check(r, true)
	if a, b := r.Readings[0].Discontinuity, r.Readings[1].Discontinuity; a != 0 || b != r.Readings[1].Uptime-6000 {
		t.Errorf("discontinuities %d and %d at uptime %d", a, b, r.Readings[1].Uptime)
	}
}

func names(count int) []billing.Port {
	var ports []billing.Port
	for i := 1; i <= count; i++ {
		ports = append(ports, billing.Port{ID: int64(i), Index: int64(i), Name: fmt.Sprintf("Gi0/%d", i)})
	}
	return ports
}

func TestReadBilledFilesNothingToTheWrongPort(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ports   []billing.Port
		fixed   bool
		objects mib
		missing map[int64]BillMiss
		read    map[int64]uint64 // ifHCInOctets
	}{
		"a port that is gone": {
			names(2), false, mib{}.row(1, ethernet("Gi0/1")), map[int64]BillMiss{2: BillGone}, map[int64]uint64{1: 5000000006},
		},
		"another port in its place": {
			names(1), false, mib{}.row(1, ethernet("Gi0/7")), map[int64]BillMiss{1: BillGone}, nil,
		},
		"two of its name": {
			names(1), false, mib{}.row(1, ethernet("Gi0/7")).row(2, ethernet("Gi0/1")).row(3, ethernet("Gi0/1")), map[int64]BillMiss{1: BillAmbiguous}, nil,
		},
		"moved": {
			names(1), false, mib{}.row(1, ethernet("Gi0/7")).row(9, with(ethernet("Gi0/1"), "x6", "70|77")), nil, map[int64]uint64{1: 77},
		},
		"moved, and not to be searched for": {
			[]billing.Port{{ID: 1, Index: 1, Name: "Gi0/1"}}, true, mib{}.row(9, ethernet("Gi0/1")), map[int64]BillMiss{1: BillGone}, nil,
		},
		"no name in the inventory": {
			[]billing.Port{{ID: 1, Index: 1}}, false, mib{}.row(1, ethernet("")), map[int64]BillMiss{1: BillGone}, nil,
		},
		"an index that cannot be": {
			[]billing.Port{{ID: 1, Index: -5, Name: "Gi0/1"}}, false, mib{}.row(3, ethernet("Gi0/1")), nil, map[int64]uint64{1: 5000000006},
		},
		"no ifXTable": {
			[]billing.Port{{ID: 1, Index: 1, Name: "Ethernet Gi0/1"}}, false,
			mib{}.row(1, map[string]string{"2": "4|Ethernet Gi0/1", "10": "65|10", "16": "65|16"}), nil, map[int64]uint64{1: 10},
		},
		"moved without ifXTable": {
			[]billing.Port{{ID: 1, Index: 1, Name: "Ethernet Gi0/1"}}, false,
			mib{}.row(4, map[string]string{"2": "4|Ethernet Gi0/1", "10": "65|10", "16": "65|16"}), nil, map[int64]uint64{1: 10},
		},
		"wide counters in name only": {
			names(1), false, mib{}.row(1, with(ethernet("Gi0/1"), "x6", "70|0", "x10", "70|0", "10", "65|123", "16", "65|45")), nil, map[int64]uint64{1: 123},
		},
		"no traffic yet": {
			names(1), false, mib{}.row(1, with(ethernet("Gi0/1"), "x6", "70|0", "x10", "70|0", "10", "65|0", "16", "65|0")), nil, map[int64]uint64{1: 0},
		},
		"a wide counter of another type": {
			names(1), false, mib{}.row(1, with(ethernet("Gi0/1"), "x6", "65|9", "10", "65|8", "16", "65|7")), nil, map[int64]uint64{1: 8},
		},
		"no octets": {
			names(1), false, mib{}.row(1, with(ethernet("Gi0/1"), "x6", "", "x10", "")), map[int64]BillMiss{1: BillRefused}, nil,
		},
		"octets of one direction": {
			names(1), false, mib{}.row(1, with(ethernet("Gi0/1"), "x10", "", "10", "65|8")), map[int64]BillMiss{1: BillRefused}, nil,
		},
		"text for a counter": {
			names(1), false, mib{}.row(1, with(ethernet("Gi0/1"), "x6", "4|9", "x10", "4|9", "10", "4|9", "16", "2|-9")), map[int64]BillMiss{1: BillRefused}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			session := serveOne(t, maps.Clone(c.objects).system(4242))
			r := ReadBilled(t.Context(), session, BillTarget{Ports: c.ports, Fixed: c.fixed})
			read := map[int64]uint64{}
			for _, got := range r.Readings {
				read[got.Port] = got.In
				if got.Uptime != 4242 {
					t.Errorf("uptime %d", got.Uptime)
				}
			}
			if !maps.Equal(read, c.read) || !maps.Equal(r.Missing, c.missing) {
				t.Errorf("read %v, missing %v (%s)", read, r.Missing, r.Reason)
			}
		})
	}
}

// A port may be faster than when it was polled last: what judges its counters comes with them.
func TestReadBilledBringsTheSpeed(t *testing.T) {
	t.Parallel()
	narrow := []string{"x6", "", "x10", "", "10", "65|8", "16", "65|7"}
	for name, c := range map[string]struct {
		cells map[string]string
		known uint64 // bit/s, by the inventory
		want  uint64
	}{
		"faster than it was":              {ethernet("Gi0/1"), 1e9, 1e10},
		"slower than it was":              {ethernet("Gi0/1"), 1e11, 1e11},
		"not known yet":                   {ethernet("Gi0/1"), 0, 1e10},
		"no ifHighSpeed":                  {with(ethernet("Gi0/1"), "x15", ""), 1e9, 1e9},
		"ifHighSpeed 0":                   {with(ethernet("Gi0/1"), "x15", "66|0"), 1e9, 1e9},
		"text for ifHighSpeed":            {with(ethernet("Gi0/1"), "x15", "4|10000"), 1e9, 1e9},
		"32 bits":                         {with(ethernet("Gi0/1"), append(narrow, "5", "66|100000000", "x15", "")...), 1e7, 1e8},
		"32 bits with ifHighSpeed":        {with(ethernet("Gi0/1"), narrow...), 1e7, 1e10},
		"32 bits with neither":            {with(ethernet("Gi0/1"), append(narrow, "5", "", "x15", "")...), 1e7, 1e7},
		"more than a Gauge32 can hold":    {with(ethernet("Gi0/1"), "x15", "70|18446744073709551615"), 1e9, math.MaxUint32 * 1e6},
		"without ifName, with ifHCOctets": {with(ethernet("Gi0/1"), "x1", "", "2", "4|Gi0/1"), 1e9, 1e10},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			session := serveOne(t, mib{}.row(1, c.cells).system(4242))
			r := ReadBilled(t.Context(), session, BillTarget{Ports: []billing.Port{{ID: 1, Index: 1, Name: "Gi0/1", Speed: c.known}}})
			if len(r.Readings) != 1 || r.Readings[0].Speed != c.want {
				t.Errorf("%+v, missing %v, want %d bit/s", r.Readings, r.Missing, c.want)
			}
		})
	}
}

// A port keeps the width of its counters for a while: after a start, an agent may bring out the wide ones later.
func TestReadBilledKeepsTheWidth(t *testing.T) {
	t.Parallel()
	narrow := mib{}.row(1, with(ethernet("Gi0/1"), "x6", "", "x10", "", "10", "65|8", "16", "65|7")).system(4242)
	session := serveOne(t, narrow)
	for name, c := range map[string]struct {
		port billing.Port
		miss BillMiss
	}{
		"never read":     {billing.Port{}, ""},
		"narrow before":  {billing.Port{Bits: 32, Last: 3000}, ""},
		"wide just now":  {billing.Port{Bits: 64, Last: 3000}, BillNarrow},
		"wide a bit ago": {billing.Port{Bits: 64, Last: 2400}, BillNarrow},
		"wide, long ago": {billing.Port{Bits: 64, Last: 2100}, ""},
	} {
		c.port.ID, c.port.Index, c.port.Name = 1, 1, "Gi0/1"
		r := ReadBilled(t.Context(), session, BillTarget{Ports: []billing.Port{c.port}, Slot: 3300, Interval: 300})
		if r.Missing[1] != c.miss || (len(r.Readings) == 1) != (c.miss == "") {
			t.Errorf("%s: %d readings, missing %v", name, len(r.Readings), r.Missing)
		}
	}
}

func TestReadBilledOfADeviceThatIsSilent(t *testing.T) {
	t.Parallel()
	var asked, probed int
	silent := &scripted{
		get: func(context.Context, []snmp.OID) ([]snmp.Variable, error) {
			asked++
			return nil, snmp.ErrTimeout
		},
		probe: func(_ snmp.OID, tries int, timeout time.Duration) (snmp.Variable, error) {
			asked++
			probed++
			if tries != 2 || timeout != time.Second {
				t.Errorf("%d tries of %v", tries, timeout)
			}
			return snmp.Variable{}, snmp.ErrTimeout
		},
	}
	for _, status := range []device.Status{device.StatusUp, device.StatusDown} {
		asked, probed = 0, 0
		r := ReadBilled(t.Context(), silent, BillTarget{Device: device.Device{Status: status}, Ports: names(100)})
		if asked != 1 || (probed == 1) != (status == device.StatusDown) || r.Requests != 1 || len(r.Readings) != 0 || len(r.Missing) != 100 || r.Missing[50] != BillDown || r.Reason == "" {
			t.Errorf("%s: asked %d times, %d readings, %d missing, port 50 %s", status, asked, len(r.Readings), len(r.Missing), r.Missing[50])
		}
	}
	silent.get = func(context.Context, []snmp.OID) ([]snmp.Variable, error) { return nil, snmp.ErrAuth }
	if r := ReadBilled(t.Context(), silent, BillTarget{Ports: names(2)}); r.Missing[1] != BillAuth || r.Missing[2] != BillAuth {
		t.Errorf("credentials that are refused: %v", r.Missing)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	silent.get = func(ctx context.Context, _ []snmp.OID) ([]snmp.Variable, error) { return nil, ctx.Err() }
	if r := ReadBilled(over, silent, BillTarget{Ports: names(2)}); r.Missing[1] != BillLate {
		t.Errorf("when the time is over: %v", r.Missing)
	}
}

// One port that an agent fails at costs no other port its reading.
func TestReadBilledAroundAFault(t *testing.T) {
	t.Parallel()
	objects := mib{}.system(4242)
	for i := 1; i <= 30; i++ {
		objects.row(i, ethernet(fmt.Sprintf("Gi0/%d", i)))
	}
	session := serveOne(t, objects)
	broken := &scripted{Session: session}
	broken.get = func(ctx context.Context, oids []snmp.OID) ([]snmp.Variable, error) {
		if slices.Contains(oids, columns[wideInOctets].Append(17)) {
			return nil, &snmp.StatusError{Status: "genErr"}
		}
		return session.Get(ctx, oids...)
	}
	r := ReadBilled(t.Context(), broken, BillTarget{Ports: names(30)})
	if len(r.Readings) != 29 || len(r.Missing) != 1 || r.Missing[17] != BillRefused || r.Requests > 12 {
		t.Errorf("%d readings, missing %v, %d requests", len(r.Readings), r.Missing, r.Requests)
	}
	broken.get = func(context.Context, []snmp.OID) ([]snmp.Variable, error) {
		return nil, &snmp.StatusError{Status: "genErr"}
	}
	r = ReadBilled(t.Context(), broken, BillTarget{Ports: names(30)})
	if len(r.Readings) != 0 || len(r.Missing) != 30 || r.Requests > 2*30+3 {
		t.Errorf("an agent that always fails: %d readings, %d missing, %d requests", len(r.Readings), len(r.Missing), r.Requests)
	}
}

// A device that numbers its ports anew while it is read.
func TestReadBilledWhileNumbersChange(t *testing.T) {
	t.Parallel()
	s := newStanding(t, simulator.Config{Ports: 24, Sick: []simulator.Sickness{{Ailment: simulator.Shuffle, At: standingAt.Add(time.Minute)}}})
	session := s.session()
	turning := &scripted{Session: session}
	turning.get = func(ctx context.Context, oids []snmp.OID) ([]snmp.Variable, error) {
		vars, err := session.Get(ctx, oids...)
		if len(turning.gets) == 1 {
			s.ahead.Store(int64(2 * time.Minute))
		}
		return vars, err
	}
	r := ReadBilled(t.Context(), turning, s.target("GigabitEthernet0/%d"))
	if len(r.Readings) != 24 || len(r.Missing) != 0 {
		t.Fatalf("%d readings, missing %v", len(r.Readings), r.Missing)
	}
	model := s.agent.Model()
	for _, got := range r.Readings {
		port := int(got.Port) - 1000
		before, after := model.Counter(0, port, simulator.InOctets, standingAt), model.Counter(0, port, simulator.InOctets, s.now())
		if got.In != before && got.In != after {
			t.Errorf("port %d has %d, want %d or %d", port, got.In, before, after)
		}
	}
}

// Every script of a hostile agent ends soon, with each port read or missing.
func TestReadBilledOfHostileAgents(t *testing.T) {
	t.Parallel()
	for _, script := range simulator.HostileNames() {
		t.Run(script, func(t *testing.T) {
			t.Parallel()
			s := startSickOf(t, script, 24)
			session, err := snmp.Dial(t.Context(), snmp.Target{
				Host: "127.0.0.1", Port: s.Addr(0).Port(), Timeout: sickTimeout, Retries: 1, Credentials: snmp.Credentials{Version: snmp.V2c, Community: secret.New("public")},
			}, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer session.Close()
			target := BillTarget{}
			for port := int64(1); port <= 24; port++ {
				target.Ports = append(target.Ports, billing.Port{ID: port, Index: port, Name: fmt.Sprintf("GigabitEthernet0/%d", port)})
			}
			ctx, cancel := context.WithTimeout(t.Context(), sickDeadline)
			defer cancel()
			r := ReadBilled(ctx, session, target)
			if len(r.Readings)+len(r.Missing) != 24 || len(r.Reason) > maxReason {
				t.Errorf("%d readings and %d missing of 24, reason %q", len(r.Readings), len(r.Missing), r.Reason)
			}
			for id, why := range r.Missing {
				if !slices.Contains(BillMisses(), why) {
					t.Errorf("port %d is missing because of %q", id, why)
				}
			}
			if sent := session.Stats().Requests; sent > sickRequests {
				t.Errorf("%d requests were sent", sent)
			}
		})
	}
}

// What net-snmp's agent says of the loopback device agrees with its poll.
func TestReadBilledAgainstSnmpd(t *testing.T) {
	t.Parallel()
	for name, credentials := range map[string]snmp.Credentials{
		"v1":  {Version: snmp.V1, Community: secret.New("public")},
		"v2c": {Version: snmp.V2c, Community: secret.New("public")},
		"v3":  {Version: snmp.V3, User: "monitor", AuthProtocol: "SHA-256", AuthPassword: secret.New("auth-password"), PrivProtocol: "AES", PrivPassword: secret.New("priv-password")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := snmp.Dial(t.Context(), snmp.Target{Host: "127.0.0.1", Port: snmpd(t), Timeout: 200 * time.Millisecond, Retries: 50, Credentials: credentials}, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			first := Poll(t.Context(), s, Target{Timeout: 200 * time.Millisecond, Retries: 50})
			target := BillTarget{Device: device.Device{Credentials: credentials}}
			for i, p := range first.Poll.Ports {
				target.Ports = append(target.Ports, billing.Port{ID: int64(i + 1), Index: p.State.IfIndex, Name: p.State.IfName})
			}
			r := ReadBilled(t.Context(), s, target)
			last := Poll(t.Context(), s, Target{Timeout: 200 * time.Millisecond, Retries: 50})
			if len(r.Readings) != len(target.Ports) || len(target.Ports) == 0 || len(r.Missing) > 0 {
				t.Fatalf("%d readings of %d ports, missing %v (%s)", len(r.Readings), len(target.Ports), r.Missing, r.Reason)
			}
			for _, got := range r.Readings {
				i := got.Port - 1
				before, after := first.Poll.Ports[i], last.Poll.Ports[i]
				if got.In < before.InOctets || got.In > after.InOctets || (got.Bits == 64) != (credentials.Version != snmp.V1) || got.Uptime == 0 {
					t.Errorf("%s: %+v between %d and %d", before.State.IfName, got, before.InOctets, after.InOctets)
				}
			}
		})
	}
}

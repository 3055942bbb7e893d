package simulator

import (
	"math"
	"math/big"
	"testing"
	"time"
)

func modelOf(t *testing.T, c Config) Model {
	t.Helper()
	if err := c.complete(time.Now()); err != nil {
		t.Fatal(err)
	}
	return newModel(c)
}

func TestConstantCounterIsTheClosedForm(t *testing.T) {
	t.Parallel()
	m := modelOf(t, Config{Ports: 4})
	for _, since := range []time.Duration{0, 1, time.Millisecond, 12345678901, 24 * time.Hour, 40 * 365 * 24 * time.Hour} {
		for column := range columns {
			at := defaultEpoch.Add(since)
			number := int64(7*4 + 3 - 1)
			octets := 1000 + (2*number+int64(column.direction()))*61_803_403%99_999_000
			rate := int64(column.rate(uint64(octets)))
			want := new(big.Int).Mul(big.NewInt(rate), big.NewInt(int64(since)))
			want.Div(want, big.NewInt(1e9))
			want.Add(want, new(big.Int).SetUint64(mix(uint64(number*32+int64(column)))%1e9))
			if got := m.Counter(7, 3, column, at); want.Cmp(new(big.Int).SetUint64(got)) != 0 {
				t.Errorf("%v after %v: %d, want %v", column, since, got, want)
			}
			if got := m.Rate(7, 3, column, at); got != float64(rate) {
				t.Errorf("rate of %v is %v, want %v", column, got, rate)
			}
		}
	}
}

func TestRatesAreDistinctAndInBounds(t *testing.T) {
	t.Parallel()
	for _, c := range []Config{{Ports: 48}, {Ports: 48, Only32Bit: true}} {
		m := modelOf(t, c)
		seen := map[uint64]bool{}
		for device := range 1000 {
			for port := 1; port <= 48; port++ {
				for _, column := range []Column{InOctets, OutOctets} {
					rate := m.rate(device, port, column)
					if seen[rate] || rate < 1000 || rate >= 1000+m.span {
						t.Fatalf("device %d port %d has rate %d a second time or out of bounds", device, port, rate)
					}
					seen[rate] = true
				}
			}
		}
	}
}

func TestStepsAreTheIntegralOfTheirRate(t *testing.T) {
	t.Parallel()
	const length = 10 * time.Second
	m := modelOf(t, Config{Ports: 2, Pattern: "steps", StepLength: length})
	for port := 1; port <= 2; port++ {
		total := 0.0
		at := defaultEpoch
		first := m.Counter(3, port, InOctets, at)
		for step := range 40 {
			rate := m.Rate(3, port, InOctets, at)
			if next := m.Rate(3, port, InOctets, at.Add(length)); next < 1.5*rate && next > 0.5*rate {
				t.Errorf("step %d: rate goes from %v to %v only", step, rate, next)
			}
			half := total + rate*length.Seconds()/2
			if got := m.Counter(3, port, InOctets, at.Add(length/2)) - first; math.Abs(float64(got)-half) > 1 {
				t.Errorf("in the middle of step %d: %d, want %v", step, got, half)
			}
			total += rate * length.Seconds()
			at = at.Add(length)
			if got := m.Counter(3, port, InOctets, at) - first; math.Abs(float64(got)-total) > 1 {
				t.Errorf("after step %d: %d, want %v", step, got, total)
			}
		}
	}
}

func TestWrapIsThirtySecondsAfterTheEpoch(t *testing.T) {
	t.Parallel()
	for _, pattern := range []string{"constant", "steps"} {
		m := modelOf(t, Config{Ports: 48, Wrap: true, Pattern: pattern, Epoch: defaultEpoch.Add(time.Hour)})
		at := defaultEpoch.Add(time.Hour + 30*time.Second)
		for port := 1; port <= 48; port++ {
			before, after := m.Counter(1, port, OutOctets, at.Add(-10*time.Millisecond)), m.Counter(1, port, OutOctets, at)
			if after != 0 || before < math.MaxUint64-3_000_000 {
				t.Errorf("%s, port %d: %d, then %d", pattern, port, before, after)
			}
		}
	}
}

func TestRebootStartsEverythingAgain(t *testing.T) {
	t.Parallel()
	reboot := defaultEpoch.Add(1000 * time.Hour)
	for _, pattern := range []string{"constant", "steps"} {
		m := modelOf(t, Config{Ports: 1, Pattern: pattern, RebootAt: reboot, StepLength: 7 * time.Second})
		if got := m.Counter(0, 1, InOctets, reboot); got != 0 {
			t.Errorf("counter at the reboot is %d", got)
		}
		if m.Counter(0, 1, InOctets, reboot.Add(-1)) == 0 || m.SysUpTime(0, reboot.Add(-1)) != 1000*3600*100-1 {
			t.Error("the reboot comes too early")
		}
		rate := m.Rate(0, 1, InOctets, reboot)
		if got := m.Counter(0, 1, InOctets, reboot.Add(time.Second)); math.Abs(float64(got)-rate) > 1 {
			t.Errorf("a second after the reboot the counter is %d, want %v", got, rate)
		}
		if m.SysUpTime(0, reboot.Add(1500*time.Millisecond)) != 150 || m.boots(0, reboot.UnixNano()) != 2 || m.boots(0, reboot.UnixNano()-1) != 1 {
			t.Error("sysUpTime or snmpEngineBoots are wrong after the reboot")
		}
	}
}

func TestUpTimeWraps(t *testing.T) {
	t.Parallel()
	m := modelOf(t, Config{})
	if got := m.SysUpTime(0, defaultEpoch.Add((1<<32)*10*time.Millisecond)); got != 0 {
		t.Errorf("sysUpTime after 2^32 ticks is %d", got)
	}
	if got := m.SysUpTime(0, defaultEpoch.Add(-time.Hour)); got != 0 {
		t.Errorf("sysUpTime before the epoch is %d", got)
	}
}

func TestDeadShare(t *testing.T) {
	t.Parallel()
	m := modelOf(t, Config{Dead: 0.3})
	dead := 0
	for device := range 10_000 {
		if m.Dead(device) {
			dead++
		}
	}
	if dead < 2800 || dead > 3200 {
		t.Errorf("%d of 10000 devices are dead, want about 3000", dead)
	}
	if modelOf(t, Config{}).Dead(1) || !modelOf(t, Config{Dead: 1}).Dead(1) {
		t.Error("none or all dead is not none or all")
	}
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	good := Config{Listen: "127.0.0.0/24:0", Devices: 255}
	if _, err := New(good, nil); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(c *Config){
		"listen":          func(c *Config) { c.Listen = "localhost" },
		"listen port":     func(c *Config) { c.Listen = "127.0.0.1:99999" },
		"listen all":      func(c *Config) { c.Listen = "0.0.0.0:161" },
		"listen v6 range": func(c *Config) { c.Listen = "[::1]/64:161" },
		"too many":        func(c *Config) { c.Devices = 256 },
		"negative":        func(c *Config) { c.Devices = -1 },
		"port range":      func(c *Config) { c.Listen, c.PortRange = "127.0.0.1", "20-10" },
		"few ports":       func(c *Config) { c.Listen, c.PortRange = "127.0.0.1", "20000-20010" },
		"range of ranges": func(c *Config) { c.PortRange = "20000-20300" },
		"ports":           func(c *Config) { c.Ports = 10_001 },
		"max message":     func(c *Config) { c.MaxMessage = 100 },
		"pattern":         func(c *Config) { c.Pattern = "random" },
		"step":            func(c *Config) { c.StepLength = 1 },
		"latency":         func(c *Config) { c.Latency = -1 },
		"loss":            func(c *Config) { c.Loss = math.NaN() },
		"dead":            func(c *Config) { c.Dead = 1.1 },
		"recordings":      func(c *Config) { c.Recordings = "/nowhere" },
		"auth":            func(c *Config) { c.V3 = user("CRC", "") },
		"priv":            func(c *Config) { c.V3 = user("SHA", "ROT13") },
		"priv alone":      func(c *Config) { c.V3 = user("", "AES") },
		"no passwords":    func(c *Config) { c.V3 = &User{Name: "u", AuthProtocol: "SHA"} },
		"no name":         func(c *Config) { c.V3 = &User{} },
	} {
		c := good
		spoil(&c)
		if _, err := New(c, nil); err == nil {
			t.Errorf("%s: a wrong configuration is accepted", name)
		}
	}
}

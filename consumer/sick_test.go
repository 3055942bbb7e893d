package consumer_test

import (
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"pollux/cluster"
	"pollux/consumer"
	"pollux/device"
	"pollux/journal"
	"pollux/measurement"
	"pollux/polluxtest"
	"pollux/producer"
	"pollux/rrdcached"
	"pollux/secret"
	"pollux/settings"
	"pollux/simulator"
	"pollux/snmp"
	"pollux/store"
)

const (
	sickPorts = 3
	wellAfter = 75 * time.Second // when the counters fail, after the start: the devices have been polled some times
	illFor    = 25 * time.Second // what does not last for ever
	watched   = 60 * time.Second // from then on
)

// patient is one simulated device, and how many slots of a port may be unknown or too low because of what befalls it.
type patient struct {
	name  string
	sick  []simulator.Sickness
	slots int
	port  sampledFiles
}

type sampledFiles struct {
	dir string
	ids [sickPorts + 1]int64 // of the ports, by the number in their name
}

// patients are devices that each have another failure at a time.
func patients(epoch, at time.Time) []patient {
	one := func(a simulator.Ailment, after time.Duration) simulator.Sickness {
		s := simulator.Sickness{Ailment: a, At: at.Add(after)}
		if a == simulator.Frozen || a == simulator.Narrow {
			s.Until = s.At.Add(illFor)
		}
		return s
	}
	list := func(all ...simulator.Sickness) []simulator.Sickness { return all }
	narrow := simulator.Sickness{Ailment: simulator.Narrow, At: epoch}
	return []patient{
		{name: "healthy"},
		{name: "32 bits", sick: list(narrow)},
		{name: "32 bits wrap", sick: list(narrow, one(simulator.Wrap32, 0)), slots: 2},
		{name: "64 bits wrap", sick: list(one(simulator.Wrap64, 0)), slots: 2},
		{name: "reset", sick: list(one(simulator.Reset, 0)), slots: 3},
		{name: "three resets", sick: list(one(simulator.Reset, 0), one(simulator.Reset, 3*time.Second), one(simulator.Reset, 6*time.Second)), slots: 4},
		{name: "hidden reset", sick: list(one(simulator.HiddenReset, 0)), slots: 2},
		{name: "discontinuity", sick: list(one(simulator.Discontinuity, 0)), slots: 3},
		{name: "frozen", sick: list(one(simulator.Frozen, 0))},
		{name: "reboot", sick: list(one(simulator.Reboot, 0)), slots: 3},
		{name: "uptime wraps", sick: list(one(simulator.UptimeWrap, 0))},
		{name: "renumbered", sick: list(one(simulator.Shuffle, 0)), slots: 3},
		{name: "renumbered by a reboot", sick: list(one(simulator.Shuffle, 0), one(simulator.Reboot, 0)), slots: 3},
		{name: "no 64 bits for a while", sick: list(one(simulator.Narrow, 0)), slots: 4},
	}
}

// TestSickCountersLeaveNoSpike polls devices whose counters fail, by two nodes
// that alternate, and reads the files behind a real rrdcached: each slot of each port is right,
// unknown, or, beside an unknown one, too low by at most 2 s.
func TestSickCountersLeaveNoSpike(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	parts := running{t, log}
	at := time.Now().Add(wellAfter)
	epoch := at.Add(-20 * time.Minute) // the fast ports have counted more than 32 bits by then
	ward := patients(epoch, at)
	c := simulator.Config{Listen: "127.0.0.0/24:0", Devices: len(ward), Ports: sickPorts, Epoch: epoch}
	for i, p := range ward {
		for _, s := range p.sick {
			s.Only = &simulator.Spot{Device: i}
			c.Sick = append(c.Sick, s)
		}
	}
	agent, err := simulator.New(c, log)
	if err != nil {
		t.Fatal(err)
	}
	parts.start("simulator", agent.Run)
	<-agent.Ready()
	redisServer, rrd, inventory := polluxtest.Redis(t), polluxtest.RRDCached(t), openStore(t, log)
	client := redis.NewClient(&redis.Options{Addr: redisServer.Address, ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = client.Close() })
	ids := make([]int64, len(ward))
	for i := range ward {
		added, err := inventory.AddDevice(t.Context(), device.Device{
			Hostname: "sick" + strconv.Itoa(i), Address: agent.Addr(i).Addr().String(), Port: agent.Addr(i).Port(), Interval: interval, Retries: -1,
			Credentials: snmp.Credentials{Version: snmp.V2c, Community: secret.New("public")},
		})
		if err != nil {
			t.Fatal(err)
		}
		ids[i], ward[i].port.dir = added.ID, added.RRDDir
	}
	stop := pollWard(t, parts, client, rrd, inventory)
	polluxtest.Eventually(t, patience, "every port is known", func() bool { return admitted(t, inventory, ids, ward) })
	if time.Now().After(at.Add(-20 * time.Second)) {
		t.Fatal("the machine is too slow: the failures come before the devices have been polled")
	}
	polluxtest.Eventually(t, patience+wellAfter, "the failures are over", func() bool { return time.Now().After(at.Add(watched)) })
	stop()
	for i := range ward {
		judgeWard(t, agent.Model(), i, &ward[i], rrd.Address, at)
	}
}

// pollWard runs a producer, two consumers and a recorder. stop drains them.
func pollWard(t *testing.T, parts running, client redis.UniversalClient, rrd *polluxtest.Server, inventory *store.Store) (stop func()) {
	t.Helper()
	values := func() settings.Values {
		return settings.NewValues(map[string]string{settings.KeyRRDArchives: "AVERAGE:1x120 MAX:6x20", settings.KeySNMPTimeout: "5"})
	}
	log1 := journal.New(client, 0)
	recorder(t, parts, client, log1, rrd.Address, values)
	clock := syncedClock(t, parts, client)
	var stops []func()
	for i := range 2 {
		c, err := consumer.New(consumer.Config{NodeID: "node" + strconv.Itoa(i), Groups: func() []int64 { return []int64{0} }}, consumer.Deps{
			Store: inventory, Journal: log1, Leases: cluster.NewDeviceLeases(client, "node", parts.log), Clock: clock, Redis: client,
			Settings: values, Registerer: prometheus.NewRegistry(), Log: parts.log,
		})
		if err != nil {
			t.Fatal(err)
		}
		stops = append(stops, parts.start("consumer", c.Run))
	}
	p, err := producer.New(producer.Config{}, producer.Deps{
		Store: inventory, Purger: inventory, Events: inventory, Journal: log1, Clock: clock, Redis: client, Settings: values, Log: parts.log,
		Lease:   cluster.NewLease(client, cluster.LeaderKey, "producer", producer.LeaderTTL),
		Janitor: cluster.NewJanitor(client, parts.log, prometheus.NewRegistry()), Registerer: prometheus.NewRegistry(),
	})
	if err != nil {
		t.Fatal(err)
	}
	stops = append(stops, parts.start("producer", p.Run))
	return func() {
		for _, stop := range stops {
			stop()
		}
		polluxtest.Eventually(t, patience, "all is recorded", func() bool {
			status, err := log1.Status(t.Context())
			return err == nil && len(status.Targets) == 1 && status.Targets[0].Lag == 0
		})
	}
}

// admitted learns the ids of the ports, by the numbers in their names.
func admitted(t *testing.T, inventory *store.Store, ids []int64, ward []patient) bool {
	for i, id := range ids {
		known, err := inventory.Ports(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if len(known) != sickPorts {
			return false
		}
		for _, port := range known {
			var number int
			if _, err := fmt.Sscanf(port.State.IfName, "GigabitEthernet0/%d", &number); err != nil || number > sickPorts {
				t.Fatalf("a port is named %q", port.State.IfName)
			}
			ward[i].port.ids[number] = port.ID
		}
	}
	return true
}

// busy is by how much a rate may be off because an answer lay there for up to a
// second on a busy machine. What a sickness draws is off by much more.
const busy = 1.0 / interval

// judgeWard compares the files of one device with what its ports counted.
func judgeWard(t *testing.T, model simulator.Model, number int, p *patient, rrd string, at time.Time) {
	t.Helper()
	client, err := rrdcached.Dial(t.Context(), rrd)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for port := 1; port <= sickPorts; port++ {
		file := measurement.Path(p.port.dir, measurement.KindPort, p.port.ids[port], 0)
		from, to := at.Add(-15*time.Second), at.Add(watched-2*interval*time.Second)
		series, err := client.Fetch(t.Context(), file, "AVERAGE", from, to)
		if err != nil {
			t.Fatalf("%s: %s: %v", p.name, file, err)
		}
		for source, column := range map[int]simulator.Column{0: simulator.InOctets, 1: simulator.OutOctets, 4: simulator.InUcastPkts} {
			right, low, unknown := 0, 0, 0
			for _, row := range series.Rows {
				if row.Time.Before(from) || row.Time.After(to) {
					continue
				}
				least, most := bounds(model, number, port, column, row.Time.Add(-interval*time.Second), row.Time)
				switch got := row.Values[source]; {
				case math.IsNaN(got):
					unknown++
				case got > most*(1+busy)+1:
					t.Errorf("%s: %v of port %d at %v: %.0f/s, at most %.0f", p.name, column, port, row.Time.Sub(at), got, most)
				case got >= least*(1-busy)-1:
					right++
				case got >= least*(1-2.0/interval)*(1-busy)-1:
					low++
				default:
					t.Errorf("%s: %v of port %d at %v: %.0f/s, at least %.0f", p.name, column, port, row.Time.Sub(at), got, least)
				}
			}
			if right < 3 || low > 2 || unknown+low > p.slots {
				t.Errorf("%s: %v of port %d: %d slots right, %d low, %d unknown; %d may be", p.name, column, port, right, low, unknown, p.slots)
			}
			if source == 0 {
				t.Logf("%s, port %d: %d slots right, %d low, %d unknown", p.name, port, right, low, unknown)
			}
		}
	}
}

// bounds are the lowest and the highest rate between the samples around a slot: they differ where a counter freezes or thaws.
func bounds(model simulator.Model, number, port int, column simulator.Column, begin, end time.Time) (least, most float64) {
	least = math.Inf(1)
	for at := begin.Add(-interval * time.Second); at.Before(end.Add(interval * time.Second)); at = at.Add(time.Second) {
		rate := float64(model.Traffic(number, port, column, at, at.Add(time.Second)))
		least, most = min(least, rate), max(most, rate)
	}
	return least, most
}

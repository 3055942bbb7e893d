package main_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"pollux/cluster"
	"pollux/config"
	"pollux/device"
	"pollux/polluxtest"
	"pollux/secret"
	"pollux/store"
)

// deployment is a cluster: servers of its own, and one process per role and node.
type deployment struct {
	t     testing.TB
	dir   string
	redis *polluxtest.Server // nil when the test brought one of another kind
	login config.Redis       // how a node reaches Redis
	rrd   *polluxtest.Server
	env   []string // what all nodes share
	key   secret.Key
	where config.Database
	store *store.Store
	nodes map[string]*process
}

func deploy(t testing.TB, database config.Database) *deployment {
	t.Helper()
	server := polluxtest.Redis(t)
	d := deployAt(t, database, redisAt(t, server))
	d.redis = server
	return d
}

// deployAt is deploy with a Redis of any kind, and with further variables for all nodes.
func deployAt(t testing.TB, database config.Database, login config.Redis, more ...string) *deployment {
	t.Helper()
	return deployTo(t, database, login, polluxtest.RRDCached(t), more...)
}

// deployTo is deployAt with an RRDCached that the test started.
func deployTo(t testing.TB, database config.Database, login config.Redis, rrd *polluxtest.Server, more ...string) *deployment {
	t.Helper()
	d := &deployment{t: t, dir: shortDir(t), login: login, rrd: rrd, nodes: map[string]*process{}, where: database}
	text, err := secret.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	if d.key, err = secret.ParseKey(text); err != nil {
		t.Fatal(err)
	}
	d.env = []string{
		"APP_KEY=" + text.Reveal(), "RRDCACHED=" + d.rrd.Address,
		"DB_CONNECTION=" + database.Connection, "DB_HOST=" + database.Host, fmt.Sprintf("DB_PORT=%d", database.Port), "DB_DATABASE=" + database.Name,
		"DB_USERNAME=" + database.Username, "DB_PASSWORD=" + database.Password.Reveal(), "DB_SSLMODE=" + database.SSLMode,
	}
	d.env = append(append(d.env, redisVariables("REDIS_", login)...), more...)
	cli(t, d.dir, d.env, "migrate", "up")
	cli(t, d.dir, d.env, "config", "set", "rrd.rra", testArchives)
	if d.store, err = store.Open(t.Context(), database, d.key, quiet()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.store.Close() })
	return d
}

// run starts a node of a role.
func (d *deployment) run(role, name string) *process {
	d.t.Helper()
	p := start(d.t, d.dir, name, append(slices.Clone(d.env), "NODE_ID="+name), role).ready()
	d.nodes[name] = p
	return p
}

func (d *deployment) client() cluster.Client {
	d.t.Helper()
	return openRedis(d.t, d.login)
}

// total adds a metric over nodes, by their last readings where one does not answer any more.
type total struct {
	nodes []*process
	last  map[*process]metrics
}

func newTotal(nodes ...*process) *total {
	return &total{nodes: nodes, last: map[*process]metrics{}}
}

func (all *total) sum(name string, labels ...string) (sum float64) {
	for _, p := range all.nodes {
		if p.alive() {
			if m := p.scrape(); m != nil {
				all.last[p] = m
			}
		}
		sum += all.last[p].sum(name, labels...)
	}
	return sum
}

func (all *total) log(t testing.TB) {
	t.Helper()
	for _, p := range all.nodes {
		logWork(t, p.name, all.last[p])
	}
}

// leads says whether a producer leads.
func leads(p *process) bool { return p.scrape().sum("pollux_leader") == 1 }

func TestFourProcesses(t *testing.T) {
	t.Parallel()
	for name, database := range map[string]func(testing.TB) config.Database{"MariaDB": polluxtest.MariaDB, "PostgreSQL": polluxtest.PostgreSQL} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testFourProcesses(t, deploy(t, database(t)))
		})
	}
}

const clusterDevices = 300

func testFourProcesses(t *testing.T, d *deployment) {
	// No simulated latency: it is no more exact than the timers of a busy machine, and the rates are judged.
	f := startFleet(t, d.dir, clusterDevices, 24, 10, 0)
	producers := []*process{d.run("producer", "p1"), d.run("producer", "p2")}
	c1, c2 := d.run("consumer", "c1"), d.run("consumer", "c2")
	consumers := newTotal(c1, c2)
	adding := time.Now()
	added := f.add(d.store)
	untilEvery(t, time.Second, 2*time.Minute, "three polls of each device", func() bool { return consumers.sum("pollux_polls_total") >= 3*clusterDevices })

	// Without a fault for as long as the run of standalone.
	untilEvery(t, time.Second, 2*wholeRun, "the whole run", func() bool { return time.Now().After(added.Add(wholeRun)) })
	killed, flying := killMidPoll(t, c1)
	polled(t, c2, int(c2.scrape().sum("pollux_polls_total"))+5*clusterDevices/2)

	at := slices.IndexFunc(producers, leads)
	if at < 0 {
		t.Fatal("no producer leads")
	}
	heir := producers[1-at]
	if leads(heir) {
		t.Fatal("two producers lead")
	}
	counted := producers[at].scrape().sum("pollux_slots_missed_total")
	producers[at].end(syscall.SIGKILL)
	headless := time.Now()
	takeover := leading(t, heir).Sub(headless)
	t.Logf("the other producer led %v after the kill", takeover.Round(time.Millisecond))
	if takeover > 15*time.Second {
		t.Errorf("the other producer took %v to lead", takeover)
	}
	polled(t, c2, int(c2.scrape().sum("pollux_polls_total"))+5*clusterDevices/2)

	end := time.Now()
	counted += heir.scrape().sum("pollux_slots_missed_total")
	client := d.client()
	logged := f.checkJournal(journalEntries(t, client), f.offered(adding, added), span{headless, headless.Add(takeover)})
	checkQueues(t, client)
	consumers.sum("pollux_polls_total")
	consumers.log(t)
	d.drain(heir, c2)
	f.stop()
	reads := f.reads()
	f.polledTwice(reads, logged)
	checkCounted(t, f, logged, counted, added, headless, end)
	checkMissed(t, f, logged, flying, added, killed, headless, end)
	d.checkRates(f, client, reads, logged, strict, added, end)
}

// killMidPoll kills a consumer while it asks devices, and returns how many.
func killMidPoll(t testing.TB, p *process) (killed time.Time, flying int) {
	t.Helper()
	until(t, time.Minute, "polls are under way on "+p.name, func() bool {
		flying = int(p.scrape().sum("pollux_polls_in_flight"))
		if flying < 2 {
			return false
		}
		p.signal(syscall.SIGKILL)
		return true
	})
	killed = time.Now()
	p.end(syscall.SIGKILL)
	return killed, flying
}

// checkMissed judges the three parts of the run by what the log has.
func checkMissed(t testing.TB, f *fleet, logged history, flying int, added, killed, headless, end time.Time) {
	t.Helper()
	if missed, _ := f.missing(logged.up, added, killed); len(missed) > 0 {
		t.Errorf("without a fault %d of %d slots were missed: %v", len(missed), len(f.slots(added, killed)), some(missed))
	}
	// What was begun before a kill ends within an interval of it.
	f.checkPart(fmt.Sprintf("kill of a consumer with %d polls under way", flying), logged, killed.Add(-10*time.Second), headless)
	f.checkPart("kill of the leader", logged, headless.Add(-10*time.Second), end)
}

// checkCounted holds what the leaders counted as missed against the log. A slot
// is judged 2 s after its end, within a second; what the first leader counted
// between its last reading and its kill, at headless, is not known.
func checkCounted(t testing.TB, f *fleet, logged history, counted float64, added, headless, end time.Time) {
	t.Helper()
	before, _ := f.missing(logged.all, added, headless.Add(-6*time.Second))
	after, _ := f.missing(logged.all, headless, end.Add(-4*time.Second))
	most, _ := f.missing(logged.all, added.Add(-10*time.Second), end)
	t.Logf("%.0f missed slots were counted", counted)
	if least := len(before) + len(after); counted < float64(least) || counted > float64(len(most)) {
		t.Errorf("the leaders counted %.0f missed slots, the log lacks %d to %d: %v", counted, least, len(most), some(most))
	}
}

// drain stops nodes as a deploy does.
func (d *deployment) drain(nodes ...*process) {
	d.t.Helper()
	for _, p := range nodes {
		began := time.Now()
		code := p.end(syscall.SIGTERM)
		d.t.Logf("%s ended with %d after %v", p.name, code, time.Since(began).Round(time.Millisecond))
		if code != 0 {
			d.t.Errorf("%s ended with %d", p.name, code)
		}
		text, err := os.ReadFile(p.log)
		if err != nil {
			d.t.Fatal(err)
		}
		if strings.HasPrefix(p.name, "c") && !strings.Contains(string(text), `"msg":"drained"`) {
			d.t.Errorf("%s did not drain", p.name)
		}
	}
}

// checkRates fails the test unless RRDCached got what is in the log, but for the
// last poll's entry, which the next node to start records, and the files hold the rates of the devices.
func (d *deployment) checkRates(f *fleet, client cluster.Client, reads [][]time.Time, logged history, share float64, from, end time.Time) {
	d.t.Helper()
	if behind, known := lag(d.t, client); !known || behind > 5*time.Second {
		d.t.Errorf("the recorder left entries %v old (has there been one: %t)", behind, known)
	}
	outcomes := lastOutcomes(d.t, client, f.ids)
	if !maps.Equal(outcomes, map[device.Outcome]int{device.OutcomeUp: f.devices}) {
		d.t.Errorf("the last outcomes of the devices are %v", outcomes)
	}
	all, err := d.store.Devices(d.t.Context(), store.Filter{Status: device.StatusUp, Limit: 10_000})
	if err != nil {
		d.t.Fatal(err)
	}
	if len(all) != f.devices {
		d.t.Errorf("the inventory has %d devices that are up, want %d", len(all), f.devices)
	}
	step := int64(f.interval)
	ports, to := f.pick(d.store, d.rrd.Base, 100), end.Unix()/step*step-2*step
	a := f.compare(ports, f.fetch(d.rrd.Address, ports, from.Unix()-6*step, to), reads, logged, to)
	// Beside a missed slot there is nothing to compare; at the ends of the run some more is left out.
	checkAccuracy(d.t, a, share, max(int(share*share*float64(a.whole)), len(ports)))
	if left, _ := filepath.Glob(filepath.Join(d.rrd.Base, "*", "*-g1.rrd")); len(left) > 0 {
		d.t.Errorf("files began anew: %v", some(left))
	}
}

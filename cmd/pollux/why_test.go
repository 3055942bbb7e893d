package main

import (
	"database/sql"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"pollux/polluxtest"
	"pollux/simulator"
)

// why asks for the verdict about a device, and checks the form of the answer.
func (s *site) why(host string) (code, text string, all object) {
	s.t.Helper()
	all = decode[object](s.spawn("device", "why", host, "--json"))
	checkNames(s.t, all)
	verdict, _ := all["verdict"].(object)
	code, _ = verdict["code"].(string)
	text, _ = verdict["text"].(string)
	if code == "" || text == "" {
		s.t.Fatalf("device why %s has no verdict: %v", host, all)
	}
	return code, text, all
}

// wantWhy waits for a verdict, which the first line without --json gives too.
func (s *site) wantWhy(host, code string, says ...string) object {
	s.t.Helper()
	var got, text string
	var all object
	polluxtest.Eventually(s.t, roleLimit, fmt.Sprintf("device why %s says %s", host, code), func() bool {
		got, text, all = s.why(host)
		return got == code
	})
	for _, part := range says {
		if !strings.Contains(text, part) {
			s.t.Errorf("device why %s says %q, not %q", host, text, part)
		}
	}
	return all
}

// events are the messages of a type in the eventlog, with the hostname or "-" in front.
func (s *site) events(kind string) []string {
	s.t.Helper()
	db, err := sql.Open("sqlite", "file:"+s.database()+"?mode=ro&_pragma=busy_timeout(10000)")
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close()
	var all []string
	for _, row := range rows(s.t, db, "SELECT COALESCE(d.hostname, '-'), e.message FROM eventlog e LEFT JOIN devices d ON d.id = e.device_id WHERE e.type = '"+kind+"' ORDER BY e.id") {
		all = append(all, fmt.Sprint(row[0], " ", row[1]))
	}
	return all
}

// TestWhyWithRealProcesses takes a small network through what keeps devices from being polled.
func TestWhyWithRealProcesses(t *testing.T) {
	t.Parallel()
	port := agents(t, simulator.Config{})
	redis, rrd := polluxtest.Redis(t), polluxtest.RRDCached(t)
	s := migrated(t, "REDIS_SOCKET="+redis.Socket, "RRDCACHED="+rrd.Address)
	add := func(host, port string, more ...string) {
		t.Helper()
		s.ok(append([]string{"device", "add", host, "-f", "--address", "127.0.0.1", "-r", port, "--interval", "10"}, more...)...)
	}
	add("fine", port, "-2", "-c", canaryCommunity)
	add("keys", port, "-3", "-u", "monitor", "-A", "CANARY-another-one", "-a", "SHA-256", "-X", canaryPriv, "-x", "AES")
	add("silent", freeUDP(t), "-2", "-c", canaryCommunity)
	add("off", port, "-2", "-c", canaryCommunity)
	s.ok("device", "set", "off", "--disable")

	s.wantWhy("fine", "no_leader", "no producer leads")
	s.wantWhy("off", "disabled")
	s.call("device", "why", "nobody").fails(exitNotFound, "there is no device")
	producer := s.role("producer")
	s.wantWhy("fine", "no_node", "no consumer lives")

	if out := s.spawn("queue", "pause", "poller:0").works(); out != "poller:0 paused\n" {
		t.Errorf("queue pause says %q", out)
	}
	if out := s.spawn("queue", "pause", "--all").works(); !strings.Contains(out, "poller:0 was paused already\n") {
		t.Errorf("queue pause says %q", out)
	}
	s.spawn("queue", "resume", "discovery:0") // which is there when the producer has offered a discovery
	consumer := s.role("consumer")
	s.wantWhy("fine", "paused", "queue poller:0 is paused since ")
	queues := decode[list](s.spawn("queue", "list", "--json"))
	at := slices.IndexFunc(queues.Items, func(q object) bool { return q["queue"] == "poller:0" })
	checkNames(t, queues.Items[at])
	if q := queues.Items[at]; q["queue"] != "poller:0" || q["state"] != "paused" || q["devices"] != 3.0 || fmt.Sprint(q["nodes"]) != "[node-1]" || !jsonTime.MatchString(fmt.Sprint(q["paused_since"])) {
		t.Errorf("queue list: %v", q)
	}
	if out := s.spawn("queue", "resume", "poller:0").works(); out != "poller:0 resumed\n" {
		t.Errorf("queue resume says %q", out)
	}
	ofPolls := func(told string) bool { return strings.Contains(told, "poller:0") }
	if told := slices.DeleteFunc(s.events("queue"), func(told string) bool { return !ofPolls(told) }); !slices.Equal(told, []string{"- queue poller:0 paused", "- queue poller:0 resumed"}) {
		t.Errorf("events: %q", told)
	}

	facts := s.wantWhy("fine", "polled", "and it answers; the next slot begins in")
	inRedis, _ := facts["redis"].(object)
	if leader, _ := inRedis["leader"].(object); leader["name"] != "node-1" {
		t.Errorf("the leader is %v", inRedis["leader"])
	}
	s.wantWhy("keys", "auth", "refuses the credentials")
	s.wantWhy("silent", "down", "does not answer")
	page := s.spawn("device", "why", "silent").works()
	for _, form := range []string{
		`(?m)\Asilent: polled .* ago, and it does not answer.* What to do: pollux device poll silent -v`,
		`(?m)^backoff +one probe per slot, because it is down since `, `(?m)^nodes +node-1$`, `(?m)^leader +node-1 \(.*\), since 20`, `(?m)^queue +poller:0: `,
		`(?m)^last finished +20.* UTC, down`, `(?m)^lease holder +`, `(?m)^EVENT `,
	} {
		if !regexp.MustCompile(form).MatchString(page) {
			t.Errorf("device why silent has no %s:\n%s", form, page)
		}
	}
	rrd.Stop()
	s.wantWhy("fine", "rrdcached", "the journal keeps the measurements")
	rrd.Start()
	s.wantWhy("fine", "polled")
	if late := decode[list](s.spawn("device", "list", "--overdue", "--json")); len(late.Items) != 0 {
		t.Errorf("overdue are %v", late.Items)
	}
	s.coverageIsTold(producer, consumer)
	redis.Stop()
	s.wantWhy("fine", "redis", "does not answer")
	s.spawn("queue", "list").fails(exitUnreachable, "Redis is not available")
	s.with("DB_CONNECTION=mysql", "DB_HOST=127.0.0.1", "DB_PORT="+freeUDP(t), "DB_DATABASE=x").call("device", "why", "fine").fails(exitUnreachable, "the database does not answer")
}

// coverageIsTold kills the only consumer, changes the leader, and starts a consumer again.
func (s *site) coverageIsTold(producer, consumer *role) {
	t := s.t
	t.Helper()
	if err := consumer.command.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.wantWhy("fine", "no_node")
	const unserved = "- 3 devices of poller group 0 (General) are not polled: no live node serves the group"
	count := func(part string) (n int) {
		for _, told := range s.events("coverage") {
			if strings.Contains(told, part) {
				n++
			}
		}
		return n
	}
	polluxtest.Eventually(t, 3*time.Minute, "the eventlog tells of the group and of each device", func() bool {
		return count(unserved) == 1 && count("fine not polled for ") == 1 && count("more than 3 intervals") == 3 && count("3 devices of poller group 0 (General) were not polled for 1.2 of their intervals") == 1
	})
	late := decode[list](s.spawn("device", "list", "--overdue", "--json"))
	if len(late.Items) != 3 {
		t.Errorf("overdue are %v", late.Items)
	}
	for _, item := range late.Items {
		checkNames(t, item)
		if seconds, _ := item["unpolled_seconds"].(float64); seconds < 35 {
			t.Errorf("not polled for %v s: %v", seconds, item["hostname"])
		}
	}
	producer.metric(`pollux_devices_overdue{group="0",intervals="3"}`, 3)
	producer.metric(`pollux_coverage_alarms{kind="unserved"}`, 1)
	producer.end()
	s.wantWhy("fine", "no_leader")
	next := s.role("producer")
	next.metric(`pollux_coverage_alarms{kind="unserved"}`, 1)
	consumer = s.role("consumer")
	s.wantWhy("fine", "polled")
	polluxtest.Eventually(t, 3*time.Minute, "the eventlog tells that it is over", func() bool {
		return count("over after") == 2 && count("polled again") == 3
	})
	if told := s.events("coverage"); count(unserved) != 1 || count("more than 3 intervals") != 3 {
		t.Errorf("told: %q", told)
	}
	consumer.end()
	next.end()
}

func TestQueueCommandsNameWhatTheyWant(t *testing.T) {
	t.Parallel()
	s := migrated(t, "REDIS_SOCKET="+polluxtest.Redis(t).Socket)
	for _, action := range []string{"pause", "resume"} {
		s.call("queue", action).fails(exitUsage, "--all")
		s.call("queue", action, "a", "b").fails(exitUsage, "--all")
		s.call("queue", action, "poller:0", "--all").fails(exitUsage, "--all")
		s.spawn("queue", action, "poller:7").fails(exitNotFound, "poller:7", "there are poller:0")
		s.spawn("queue", action, "default").fails(exitNotFound, "there are poller:0")
	}
	s.call("queue", "clear").fails(exitUsage, "--all")
	s.call("queue", "clear", "poller:0", "--all").fails(exitUsage, "--all")
	s.spawn("queue", "clear", "poller:0", "poller:7").fails(exitNotFound, "poller:7", "there are poller:0")
	if out := s.spawn("queue", "clear", "--all").works(); out != "poller:0 had no failed tasks\n" {
		t.Errorf("queue clear says %q", out)
	}
	if out := s.spawn("queue", "resume", "--all").works(); out != "poller:0 was not paused\n" {
		t.Errorf("queue resume says %q", out)
	}
	if out := s.spawn("queue", "list").works(); !regexp.MustCompile(`(?m)^poller:0 +General +active +0 `).MatchString(out) {
		t.Errorf("queue list:\n%s", out)
	}
}

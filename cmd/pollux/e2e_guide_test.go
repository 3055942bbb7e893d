//go:build e2e && faults

package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// make e2e-guide: docs/how-to/compose.md, typed word by word. What a reader has
// to put in another way on this machine is in adapted, and nowhere else.

// guide is a stack whose operator reads the guide.
type guide struct {
	*stack
	text string
}

// adapted makes of a line of the guide what docker-compose 1.29 takes, without a terminal.
var adapted = strings.NewReplacer(
	"docker compose create", "docker-compose --ansi never up --no-start",
	"docker compose exec -T", "docker-compose exec -T",
	"docker compose exec", "docker-compose exec -T",
	"docker compose", "docker-compose --ansi never",
)

// TestComposeGuide starts a stack as the guide says, scales it, replaces its containers,
// backs it up, loses everything, and restores it; then it makes the mistakes that the guide names.
func TestComposeGuide(t *testing.T) {
	g := openGuide(t, newStack(t))
	if out, err := g.shell("make compose-env"); err == nil || !strings.Contains(out, "left as it is") {
		t.Errorf("a second make compose-env: %v: %s", err, out)
	}
	g.release("the-first-one")
	g.typed("Start", "docker compose build")
	g.typed("Start", "docker compose up")
	g.healthy(5 * time.Minute)
	must(t, os.WriteFile(filepath.Join(g.dir, "devices.csv"), []byte("hostname,address,port,version,community,group,interval\nextra,simulator,20299,v2c,public,demo-a,20\n"), 0o600))
	g.typed("Start", "doctor")
	g.typed("Start", "node list")
	g.typed("Start", "devices.csv")
	g.polled(51)

	g.scale()
	g.upgrade()
	g.restore()
	g.mistakes()
	g.second()
}

func openGuide(t *testing.T, s *stack) *guide {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, "docs", "how-to", "compose.md"))
	must(t, err)
	return &guide{s, string(text)}
}

// blocks are the commands below a heading of the guide, each block with its comments taken away.
func (g *guide) blocks(heading string) (all []string) {
	g.t.Helper()
	_, section, found := strings.Cut(g.text, "\n## "+heading+"\n")
	if !found {
		g.t.Fatalf("the guide has no section %q", heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(section, -1) {
		all = append(all, regexp.MustCompile(`(?m)\s+#.*$`).ReplaceAllString(block[1], ""))
	}
	return all
}

// typed runs the one command below a heading that holds some words, and returns what it prints.
func (g *guide) typed(heading, words string) string {
	g.t.Helper()
	var found []string
	for _, block := range g.blocks(heading) {
		found = append(found, slices.DeleteFunc(strings.Split(block, "\n"), func(line string) bool { return !strings.Contains(line, words) })...)
	}
	if len(found) == 0 {
		g.t.Fatalf("the guide says nothing of %q under %q", words, heading)
	}
	return g.do(found[0])
}

// do runs commands of the guide.
func (g *guide) do(commands string) string {
	g.t.Helper()
	began := time.Now()
	out, err := g.shell(commands)
	g.t.Logf("%s: after %v of: %s", clock(time.Now()), time.Since(began).Round(time.Second), strings.TrimSpace(commands))
	if err != nil {
		g.t.Fatalf("%v: %s", err, out)
	}
	return out
}

func (g *guide) shell(commands string) (string, error) {
	return g.run("", "bash", "-euo", "pipefail", "-c", adapted.Replace(commands))
}

// release makes of the copy in which the stack runs what a clone is: the guide asks git for the version.
func (g *guide) release(version string) {
	g.t.Helper()
	g.must("", "git", "init", "--quiet")
	g.must("", "git", "add", "--all")
	g.must("", "git", "-c", "user.name=Pollux", "-c", "user.email=pollux@example.org", "-c", "commit.gpgsign=false", "commit", "--quiet", "--allow-empty", "--message", version)
	g.must("", "git", "tag", version)
}

// version fails when a container runs another version than that one.
func (g *guide) version(version string, all []container) {
	g.t.Helper()
	for _, c := range all {
		if out := g.docker("exec", c.ID, "pollux", "version"); !strings.Contains(out, version) {
			g.t.Errorf("%s %s is %s, want %s", c.Service, c.host(), out, version)
		}
	}
}

// polled waits until so many devices are up.
func (g *guide) polled(devices int) {
	g.t.Helper()
	untilEvery(g.t, 2*time.Second, 2*time.Minute, fmt.Sprintf("%d devices are up", devices), func() bool {
		up := g.pollux("device", "list", "--status", "up")
		return strings.Count(up, "demo-0")+strings.Count(up, "extra") == devices
	})
}

// unmissed fails when slots were missed since the last time, as Prometheus has it from the leader.
func (g *guide) unmissed(what string) {
	g.t.Helper()
	pass(g.t, "Prometheus has seen two slots", time.Now().Add(50*time.Second))
	_, missed, err := g.query("sum(increase(pollux_slots_missed_total[5m]))")
	must(g.t, err)
	if missed != "0" {
		g.t.Errorf("%s: %s slots were missed", what, missed)
	}
}

// scale goes from two consumers to five and back.
func (g *guide) scale() {
	g.t.Helper()
	g.typed("More consumers, and fewer", "consumer=5")
	g.healthy(time.Minute)
	untilEvery(g.t, time.Second, time.Minute, "five consumers are active", func() bool { return len(g.nodes("consumer")) == 5 })
	pass(g.t, "five consumers share the work", time.Now().Add(time.Minute))
	g.do(strings.Replace(g.blocks("More consumers, and fewer")[0], "consumer=5", "consumer=2", 1))
	if n := len(g.running("consumer")); n != 2 {
		g.t.Errorf("%d consumers run", n)
	}
	untilEvery(g.t, time.Second, 30*time.Second, "node list says inactive of the three that went", func() bool {
		return strings.Count(g.pollux("node", "list"), " inactive ") == 3
	})
	g.unmissed("more consumers, and fewer")
}

// upgrade replaces one container after the other by those of a new image.
func (g *guide) upgrade() {
	g.t.Helper()
	before := append(g.running("producer"), g.running("consumer")...)
	g.version("the-first-one", before)
	g.release("the-next-one") // in the place of git pull
	blocks := g.blocks("Upgrade")
	build, _, _ := strings.Cut(blocks[0], "docker compose up")
	g.do(strings.Replace(build, "git pull", "", 1) + blocks[1])
	g.healthy(2 * time.Minute)
	for _, old := range before {
		if slices.ContainsFunc(g.containers(old.Service), func(c container) bool { return c.ID == old.ID }) {
			g.t.Errorf("%s %s was not replaced", old.Service, old.host())
		}
	}
	g.version("the-next-one", append(g.running("producer"), g.running("consumer")...))
	g.polled(51)
	g.unmissed("a rolling upgrade")
}

// restore makes a backup, removes all volumes, and brings everything back.
func (g *guide) restore() {
	g.t.Helper()
	oldest, identity := time.Now(), g.identity("rrd-1")
	g.do(g.blocks("Backup")[0])
	g.healthy(2 * time.Minute)
	g.do("docker compose down --volumes; rm .env devices.csv")
	g.do(g.blocks("Restore")[0])
	g.healthy(5 * time.Minute)
	g.polled(51)
	for _, address := range strings.Split(g.env["RRDCACHED"], ",") {
		g.history(address, oldest)
	}
	if first, second := g.identity("rrd-1"), g.identity("rrd-2"); first != identity || second == identity {
		g.t.Errorf("the restored trees are %s and %s, want %s and another one", first, second, identity)
	}
}

// history fails when an RRDCached lacks what was measured before a time.
func (g *guide) history(address string, before time.Time) {
	g.t.Helper()
	out := g.docker("exec", "-e", "RRDCACHED="+address, g.running("producer")[0].ID, "pollux", "rrd", "fetch", "demo-0001", "uptime", "--start", "1h")
	known := 0
	for line := range strings.Lines(out) {
		var at int64
		if _, err := fmt.Sscanf(line, "%d:", &at); err == nil && at < before.Unix() && strings.Contains(line, "e+") {
			known++
		}
	}
	if known < 6 {
		g.t.Errorf("of the time before the backup %s knows %d rows:\n%s", address, known, out)
	}
	g.t.Logf("%s has %d rows of the time before the backup", address, known)
}

// identity is which RRD tree a volume holds, as its file says once a recorder has reached it.
func (g *guide) identity(volume string) (id string) {
	g.t.Helper()
	name := filepath.Join(g.tree(volume), "_pollux.rrd")
	untilEvery(g.t, time.Second, time.Minute, name+" names its tree", func() bool {
		text, err := os.ReadFile(name)
		id = string(regexp.MustCompile(`t[0-9a-f]{18}`).Find(text))
		return err == nil && id != ""
	})
	return id
}

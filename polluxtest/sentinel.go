package polluxtest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"pollux/config"
	"pollux/secret"
)

const (
	watchedService = "mymaster"
	adminUser      = "tester"
	adminPassword  = "CANARY-tester"
	replicas       = 2
	watchers       = 3
)

// SentinelOptions say how Sentinels starts its servers.
type SentinelOptions struct {
	// WatcherUser is the ACL user with which clients log in to the Sentinels; "" means their requirepass alone.
	WatcherUser string
	// TLS encrypts everything: between clients, servers and Sentinels.
	TLS bool
	// Place says at which address the n-th server of a kind listens, and what
	// stands before its command line. nil means 127.0.0.1 and nothing.
	Place func(kind Kind, n int) (host string, before []string)
}

// Kind is what a server of a Failover is.
type Kind int

// The kinds.
const (
	DataNode Kind = iota // 0 begins as the master
	Watcher
)

// Failover is a Redis that Sentinels watch: a master, two replicas and three
// Sentinels, set up by the files of packaging/redis.
type Failover struct {
	Nodes    []*Server // the first began as the master
	Watchers []*Server // the Sentinels

	t            testing.TB
	options      SentinelOptions
	certificates Certificates
}

// Sentinels starts a master, two replicas and three Sentinels, and returns when
// all know each other and the master takes writes.
func Sentinels(t testing.TB, options SentinelOptions) *Failover {
	t.Helper()
	f := &Failover{t: t, options: options}
	if options.TLS {
		f.certificates = NewCertificates(t)
	}
	for n := range 1 + replicas {
		f.Nodes = append(f.Nodes, f.node(n))
	}
	for n := range watchers {
		f.Watchers = append(f.Watchers, f.watcher(n))
	}
	Eventually(t, startLimit, "the Sentinels know each other and the replicas", func() bool {
		for _, w := range f.Watchers {
			info, err := w.Ask("INFO", "sentinel")
			if err != nil || !strings.Contains(info, fmt.Sprintf("status=ok,address=%s,slaves=%d,sentinels=%d", f.Nodes[0].Address, replicas, watchers)) {
				return false
			}
		}
		return f.Nodes[0].InfoField("min_slaves_good_slaves") == strconv.Itoa(replicas)
	})
	return f
}

// node starts a data node; the first is the master.
func (f *Failover) node(n int) *Server {
	f.t.Helper()
	s := f.server(DataNode, n)
	s.login = []string{adminUser, adminPassword}
	addAdmin(f.t, Packaged(f.t, "redis/users-sentinel.acl", s.Dir))
	lines := []string{
		"include " + Packaged(f.t, "redis/redis.conf", s.Dir), "include " + Packaged(f.t, "redis/sentinel-node.conf", s.Dir),
		"maxmemory 512mb", // of three on one machine
	}
	if n > 0 {
		lines = append(lines, "replicaof "+strings.ReplaceAll(f.Nodes[0].Address, ":", " "))
	}
	f.start(s, lines)
	return s
}

// watcher starts a Sentinel.
func (f *Failover) watcher(n int) *Server {
	f.t.Helper()
	return f.watch(n, f.Nodes[0].Address)
}

// Stray starts a Sentinel that the others do not know, with their passwords: it
// takes another redis-server for the master, as one does that was cut off.
func (f *Failover) Stray(master string) *Server {
	f.t.Helper()
	return f.watch(watchers, master)
}

// watch starts the n-th Sentinel, which takes the server at an address for the master.
func (f *Failover) watch(n int, master string) *Server {
	f.t.Helper()
	s := f.server(Watcher, n)
	s.login = []string{"default", WatchersPassword}
	packaged, err := os.ReadFile(Packaged(f.t, "redis/sentinel.conf", s.Dir))
	if err != nil {
		f.t.Fatal(err)
	}
	host, port, err := net.SplitHostPort(master)
	if err != nil {
		f.t.Fatal(err)
	}
	lines := []string{strings.ReplaceAll(string(packaged), "MASTER-ADDRESS 6379", host+" "+port)}
	if f.options.WatcherUser != "" {
		lines = append(lines, fmt.Sprintf("user %s on >%s resetchannels -@all %s",
			f.options.WatcherUser, WatchersPassword, "+@connection +sentinel|get-master-addr-by-name"))
	}
	f.start(s, lines)
	return s
}

func (f *Failover) server(kind Kind, n int) *Server {
	f.t.Helper()
	s := newServer(f.t, map[Kind]string{DataNode: "redis-server", Watcher: "redis-sentinel"}[kind]+" "+strconv.Itoa(n))
	host, before := "127.0.0.1", []string(nil)
	if f.options.Place != nil {
		host, before = f.options.Place(kind, n)
	}
	s.Address = net.JoinHostPort(host, strconv.Itoa(FreePort(f.t)))
	s.Socket = filepath.Join(s.Dir, "redis.sock")
	s.ready = func() error { return pingRedis(s.Socket) }
	words := append(append([]string{}, before...), "redis-server", filepath.Join(s.Dir, "server.conf"))
	if kind == Watcher {
		words = append(words, "--sentinel")
	}
	s.command = func() *exec.Cmd { return exec.Command(words[0], words[1:]...) }
	return s
}

// start writes the server's own file of settings, which it may write too, and starts it.
func (f *Failover) start(s *Server, lines []string) {
	f.t.Helper()
	host, port, err := net.SplitHostPort(s.Address)
	if err != nil {
		f.t.Fatal(err)
	}
	plain := port
	if f.options.TLS {
		plain = "0"
		for words := f.certificates.Flags(port); len(words) > 0; words = words[2:] {
			lines = append(lines, strings.TrimPrefix(words[0], "--")+" "+words[1])
		}
		lines = append(lines, "tls-replication yes")
	}
	lines = append(lines, "bind "+host, "port "+plain, "unixsocket "+s.Socket, "dir "+s.Dir, "")
	if err := os.WriteFile(filepath.Join(s.Dir, "server.conf"), []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		f.t.Fatal(err)
	}
	s.run()
}

// Config is how a node of Pollux reaches this Redis.
func (f *Failover) Config() config.Redis {
	c := config.Redis{
		Timeout: time.Minute, Username: "pollux", Password: secret.New(PolluxPassword),
		SentinelService: watchedService, SentinelUsername: f.options.WatcherUser, SentinelPassword: secret.New(WatchersPassword),
	}
	for _, w := range f.Watchers {
		c.Sentinels = append(c.Sentinels, w.Address)
	}
	if f.options.TLS {
		c.Scheme, c.TLSCA = "tls", f.certificates.Authority
	}
	return c
}

// Master is who most of the Sentinels that answer take for the master now; nil when none answers.
func (f *Failover) Master() *Server {
	votes := map[string]int{}
	best := ""
	for _, w := range f.Watchers {
		answer, err := w.Ask("SENTINEL", "get-master-addr-by-name", watchedService)
		if err != nil {
			continue
		}
		address := strings.Replace(answer, "\n", ":", 1)
		votes[address]++
		if votes[address] > votes[best] {
			best = address
		}
	}
	for _, s := range f.Nodes {
		if s.Address == best {
			return s
		}
	}
	return nil
}

// KillMaster ends the present master with SIGKILL, as a crash does, and returns it.
func (f *Failover) KillMaster() *Server {
	f.t.Helper()
	s := f.mustMaster()
	s.Kill()
	return s
}

// PauseMaster freezes the present master with SIGSTOP, and returns it.
func (f *Failover) PauseMaster() *Server {
	f.t.Helper()
	s := f.mustMaster()
	s.Pause()
	return s
}

func (f *Failover) mustMaster() *Server {
	f.t.Helper()
	s := f.Master()
	if s == nil {
		f.t.Fatal("no Sentinel knows the master")
	}
	return s
}

// Successor waits until the Sentinels have made another server the master and
// it takes writes, and returns it.
func (f *Failover) Successor(former *Server, limit time.Duration) (now *Server) {
	f.t.Helper()
	Eventually(f.t, limit, "another server is the master", func() bool {
		now = f.Master()
		return now != nil && now != former && now.InfoField("role") == "master" && now.InfoField("min_slaves_good_slaves") != "0"
	})
	return now
}

// Complete waits until all three data nodes are there again, two of them following the master.
func (f *Failover) Complete(limit time.Duration) {
	f.t.Helper()
	Eventually(f.t, limit, "two replicas follow the master", func() bool {
		master := f.Master()
		return master != nil && master.InfoField("min_slaves_good_slaves") == strconv.Itoa(replicas)
	})
}

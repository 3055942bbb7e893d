//go:build e2e && faults

package main_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/joho/godotenv"

	"pollux/config"
	"pollux/secret"
	"pollux/store"
)

// stack is the cluster of docker-compose.yml, as an operator sees it.
type stack struct {
	t     *testing.T
	dir   string            // copy of the repository that Compose runs in
	env   map[string]string // its .env
	store *store.Store
	kills kills // of the RRDCached
}

// container is one of its containers.
type container struct {
	ID, Service           string
	Running, Healthy      bool
	PID, ExitCode         int
	Restarts              int
	State, Health, Output string // Output is of the last health check
}

// host is the name that the container has for itself, unless it is told another one.
func (c container) host() string { return c.ID[:12] }

// newStack takes over what packaging/compose/e2e.sh has prepared.
func newStack(t *testing.T) *stack {
	t.Helper()
	s := &stack{t: t, dir: os.Getenv("E2E_DIR")}
	if s.dir == "" {
		t.Fatal("run make e2e: this test needs the images and the Docker daemon that it makes")
	}
	var err error
	if s.env, err = godotenv.Read(filepath.Join(s.dir, ".env")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s\n%s", s.compose("ps"), s.compose("logs", "--no-color", "--tail", "15"))
		}
	})
	return s
}

// run runs a command in the folder of the stack; input may be empty.
func (s *stack) run(input, name string, args ...string) (string, error) {
	command := exec.Command(name, args...)
	command.Dir, command.Stdin = s.dir, strings.NewReader(input)
	var errout bytes.Buffer
	command.Stderr = &errout
	out, err := command.Output()
	return string(out) + errout.String(), err
}

func (s *stack) must(input, name string, args ...string) string {
	s.t.Helper()
	out, err := s.run(input, name, args...)
	if err != nil {
		s.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

func (s *stack) compose(args ...string) string {
	s.t.Helper()
	return s.must("", "docker-compose", append([]string{"--ansi", "never"}, args...)...)
}

func (s *stack) docker(args ...string) string {
	s.t.Helper()
	return strings.TrimSpace(s.must("", "docker", args...))
}

// pollux runs a command line in the first producer that runs.
func (s *stack) pollux(args ...string) string {
	s.t.Helper()
	return s.polluxWith("", args...)
}

func (s *stack) polluxWith(input string, args ...string) string {
	s.t.Helper()
	all := s.running("producer")
	if len(all) == 0 {
		s.t.Fatal("no producer runs")
	}
	return s.must(input, "docker", append([]string{"exec", "-i", all[0].ID, "pollux"}, args...)...)
}

// containers are those of a service, "" for all, ended ones included.
func (s *stack) containers(service string) (all []container) {
	s.t.Helper()
	filter := "label=com.docker.compose.project=" + s.env["COMPOSE_PROJECT_NAME"]
	ids := strings.Fields(s.docker("ps", "--all", "--quiet", "--no-trunc", "--filter", filter))
	if len(ids) == 0 {
		return nil
	}
	var inspected []struct {
		ID           string `json:"Id"`
		RestartCount int
		Config       struct{ Labels map[string]string }
		State        struct {
			Status        string
			Running       bool
			Pid, ExitCode int
			Health        *struct {
				Status string
				Log    []struct{ Output string }
			}
		}
	}
	if err := json.Unmarshal([]byte(s.docker(append([]string{"inspect"}, ids...)...)), &inspected); err != nil {
		s.t.Fatal(err)
	}
	for _, i := range inspected {
		c := container{
			ID: i.ID, Service: i.Config.Labels["com.docker.compose.service"], Running: i.State.Running, PID: i.State.Pid,
			ExitCode: i.State.ExitCode, Restarts: i.RestartCount, State: i.State.Status,
		}
		if h := i.State.Health; h != nil {
			c.Health, c.Healthy = h.Status, h.Status == "healthy"
			if n := len(h.Log); n > 0 {
				c.Output = strings.TrimSpace(h.Log[n-1].Output)
			}
		}
		if service == "" || c.Service == service {
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(a, b container) int { return strings.Compare(a.Service+a.ID, b.Service+b.ID) })
	return all
}

func (s *stack) running(service string) []container {
	s.t.Helper()
	return slices.DeleteFunc(s.containers(service), func(c container) bool { return !c.Running })
}

// healthy waits until every container that is to run is healthy, and the one-shots have ended well.
func (s *stack) healthy(limit time.Duration) {
	s.t.Helper()
	var last []container
	defer func() {
		if s.t.Failed() {
			for _, c := range last {
				s.t.Logf("%s %s: %s %s (%d): %s", c.Service, c.host(), c.State, c.Health, c.ExitCode, c.Output)
			}
		}
	}()
	untilEvery(s.t, time.Second, limit, "all containers are healthy", func() bool {
		last = s.containers("")
		return len(last) > 0 && !slices.ContainsFunc(last, func(c container) bool {
			if c.Service == "migrate" || c.Service == "demo" {
				return c.Running || c.ExitCode != 0
			}
			return !c.Running || !c.Healthy
		})
	})
}

// kill ends the process of a container as a crash does: docker kill would count as an order, after which nothing restarts.
// then is done as soon as it is dead.
func (s *stack) kill(c container, then func()) {
	s.t.Helper()
	s.t.Logf("%s: kill -9 of %s %s", clock(time.Now()), c.Service, c.host())
	if err := syscall.Kill(c.PID, syscall.SIGKILL); err != nil {
		s.t.Fatalf("kill %s: %v", c.Service, err)
	}
	until(s.t, time.Minute, c.Service+" is dead", func() bool { return syscall.Kill(c.PID, 0) != nil })
	then()
	untilEvery(s.t, time.Second, time.Minute, c.Service+" is started again by Docker", func() bool {
		return slices.ContainsFunc(s.containers(c.Service), func(now container) bool {
			return now.ID == c.ID && now.Running && now.PID != c.PID && now.Restarts == c.Restarts+1
		})
	})
}

// network takes a container off the network of the stack, and gives it back under its service's name.
func (s *stack) network(c container, on bool) {
	s.t.Helper()
	name := s.env["COMPOSE_PROJECT_NAME"] + "_default"
	if on {
		s.docker("network", "connect", "--alias", c.Service, name, c.ID)
		return
	}
	s.docker("network", "disconnect", name, c.ID)
}

// port is a port of this machine that .env names.
func (s *stack) port(name string) uint16 {
	s.t.Helper()
	port, err := strconv.ParseUint(s.env[name], 10, 16)
	if err != nil {
		s.t.Fatalf("%s: %v", name, err)
	}
	return uint16(port)
}

// redis is how this machine reaches one of the three.
func (s *stack) redis(n int) config.Redis {
	return config.Redis{
		Host: "127.0.0.1", Port: s.port("E2E_PORT_REDIS_" + strconv.Itoa(n)), Username: s.env["REDIS_USERNAME"], Password: secret.New(s.env["REDIS_PASSWORD"]),
	}
}

// master is which of the three leads, from 1.
func (s *stack) master() int {
	s.t.Helper()
	for n := 1; n <= 3; n++ {
		client := openRedis(s.t, s.redis(n))
		info, err := client.Info(s.t.Context(), "replication").Result()
		if err == nil && strings.Contains(info, "role:master") && !strings.Contains(info, "connected_slaves:0") {
			return n
		}
	}
	s.t.Fatal("no Redis is a master with replicas")
	return 0
}

// inventory opens the database of the stack from this machine.
func (s *stack) inventory() *store.Store {
	s.t.Helper()
	if s.store != nil {
		return s.store
	}
	c, err := config.Load(filepath.Join(s.dir, ".env"), []string{"DB_HOST=127.0.0.1", "DB_PORT=" + s.env["E2E_PORT_MARIADB"]})
	if err != nil {
		s.t.Fatal(err)
	}
	if s.store, err = store.Open(s.t.Context(), c.Database, c.AppKey, quiet()); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = s.store.Close() })
	return s.store
}

// tree is where this machine sees the files of an RRDCached.
func (s *stack) tree(volume string) string {
	s.t.Helper()
	return s.docker("volume", "inspect", "--format", "{{.Mountpoint}}", s.env["COMPOSE_PROJECT_NAME"]+"_"+volume)
}

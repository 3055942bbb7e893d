package check_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// sentinel starts a Sentinel that watches a master which need not live; config is what its login takes.
func sentinel(t *testing.T, config string) (address string) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = listener.Addr().String()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "sentinel.conf")
	text := fmt.Sprintf("bind 127.0.0.1\nport %s\ndir %s\nsentinel monitor mymaster 127.0.0.17 6380 2\n%s", port, dir, config)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_ = listener.Close()
	server := exec.CommandContext(t.Context(), "redis-server", file, "--sentinel")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })
	for deadline, tick := time.Now().Add(time.Minute), time.NewTicker(50*time.Millisecond); ; <-tick.C {
		connection, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
		if err == nil {
			_ = connection.Close()
			return address
		}
		if time.Now().After(deadline) {
			t.Fatalf("the Sentinel does not listen: %v", err)
		}
	}
}

// asynqmon.sh asks a Sentinel as its settings say: one that wants no password must get none.
func TestAsynqmonFollowsTheMaster(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		config   string
		settings []string
	}{
		"no password": {"", []string{"REDIS_SENTINEL_PASSWORD="}},
		"a password":  {"requirepass word\n", []string{"REDIS_SENTINEL_PASSWORD=word"}},
		"a user":      {"user default off\nuser looker on >word ~* &* +@all\n", []string{"REDIS_SENTINEL_USERNAME=looker", "REDIS_SENTINEL_PASSWORD=word"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bin := t.TempDir()
			if err := os.WriteFile(filepath.Join(bin, "asynqmon"), []byte("#!/bin/sh\necho asynqmon: $REDIS_ADDR\n"), 0o700); err != nil {
				t.Fatal(err)
			}
			command := exec.CommandContext(t.Context(), "bash", filepath.Join(root, "packaging/compose/asynqmon.sh"))
			command.Env = append(os.Environ(), append(c.settings, "PATH="+bin+":"+os.Getenv("PATH"), "REDIS_SENTINEL="+sentinel(t, c.config))...)
			out, err := command.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := command.Start(); err != nil {
				t.Fatal(err)
			}
			alarm := time.AfterFunc(time.Minute, func() { _ = command.Process.Kill() })
			defer alarm.Stop()
			said := bufio.NewScanner(out)
			for _, line := range []string{"the master is 127.0.0.17:6380", "asynqmon: 127.0.0.17:6380"} {
				if !said.Scan() || said.Text() != line {
					t.Errorf("it says %q, want %q", said.Text(), line)
				}
			}
			_ = command.Process.Signal(os.Interrupt)
			_ = command.Wait()
		})
	}
}

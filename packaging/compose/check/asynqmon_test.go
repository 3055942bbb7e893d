package check_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// sentinel answers as one Sentinel does, and hands over what it was asked. login is what it wants first, "" for nothing.
func sentinel(t *testing.T, login string) (address string, asked <-chan []string) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	all := make(chan []string, 1)
	go func() {
		defer close(all)
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		defer connection.Close()
		var lines []string
		for scanner := bufio.NewScanner(connection); scanner.Scan(); {
			line := scanner.Text()
			lines = append(lines, line)
			switch {
			case login != "" && line == "AUTH "+login:
				fmt.Fprint(connection, "+OK\r\n")
			case strings.HasPrefix(line, "AUTH "):
				fmt.Fprint(connection, "-ERR Client sent AUTH, but no password is set\r\n")
			case login != "" && len(lines) == 1:
				fmt.Fprint(connection, "-NOAUTH Authentication required.\r\n")
			default:
				fmt.Fprint(connection, "*2\r\n$10\r\n192.0.2.17\r\n$4\r\n6380\r\n")
			}
		}
		all <- lines
	}()
	return listener.Addr().String(), all
}

// asynqmon.sh asks a Sentinel as its settings say: one that wants no password must get none.
func TestAsynqmonFollowsTheMaster(t *testing.T) {
	t.Parallel()
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "asynqmon"), []byte("#!/bin/sh\necho asynqmon: $REDIS_ADDR\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	const question = "SENTINEL get-master-addr-by-name mymaster"
	for login, settings := range map[string][]string{
		"":          {"REDIS_SENTINEL_PASSWORD="},
		"word":      {"REDIS_SENTINEL_PASSWORD=word"},
		"user word": {"REDIS_SENTINEL_USERNAME=user", "REDIS_SENTINEL_PASSWORD=word"},
	} {
		address, asked := sentinel(t, login)
		command := exec.CommandContext(t.Context(), "bash", filepath.Join(root, "packaging/compose/asynqmon.sh"))
		command.Env = append(os.Environ(), append(settings, "PATH="+bin+":"+os.Getenv("PATH"), "REDIS_SENTINEL="+address)...)
		out, err := command.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		want := []string{question}
		if login != "" {
			want = []string{"AUTH " + login, question}
		}
		if got := <-asked; !slices.Equal(got, want) {
			t.Fatalf("login %q: the Sentinel is asked %q, want %q", login, got, want)
		}
		said := bufio.NewScanner(out)
		for _, line := range []string{"the master is 192.0.2.17:6380", "asynqmon: 192.0.2.17:6380"} {
			if !said.Scan() || said.Text() != line {
				t.Fatalf("login %q: it says %q, want %q", login, said.Text(), line)
			}
		}
		_ = command.Process.Signal(os.Interrupt)
		_ = command.Wait()
	}
}

package check_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// What the guide puts into the clone holds secrets: it goes neither into images nor into git.
func TestSecretsStayOutOfImagesAndGit(t *testing.T) {
	t.Parallel()
	file, err := os.Open(filepath.Join(root, ".dockerignore"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	patterns, err := ignorefile.ReadAll(file)
	if err != nil {
		t.Fatal(err)
	}
	ignored, err := patternmatcher.New(patterns)
	if err != nil {
		t.Fatal(err)
	}
	repository := emptyRepository(t)
	for name, want := range map[string]bool{
		".env": true, "backup/.env": true, "backup/pollux.sql": true, "backup/rrd-1.tar": true, "devices.csv": true, "old/.env": true, "old/pollux.env": true,
		"go.mod": false, "cmd/pollux/main.go": false, "migrations/mysql/0001_inventory.up.sql": false,
		"packaging/compose/asynqmon.sh": false, "packaging/compose/demo.sh": false,
	} {
		got, err := ignored.MatchesOrParentMatches(name)
		if err != nil || got != want {
			t.Errorf(".dockerignore keeps %s out: %t, want %t (%v)", name, got, want, err)
		}
		// It ends with 0 for yes, 1 for no.
		command := exec.Command("git", "-C", repository, "check-ignore", "--quiet", name)
		out, err := command.CombinedOutput()
		if code := command.ProcessState.ExitCode(); (code == 0) != want || code > 1 {
			t.Errorf(".gitignore keeps %s out: %t, want %t: %v %s", name, code == 0, want, err, strings.TrimSpace(string(out)))
		}
	}
}

// emptyRepository has the .gitignore of this one, which need not be a repository: sources come as archives, too.
func emptyRepository(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("git", "init", "--quiet", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	text, err := os.ReadFile(filepath.Join(root, ".gitignore"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".gitignore"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

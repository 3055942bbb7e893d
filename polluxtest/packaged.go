package polluxtest

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The passwords that Packaged puts into the examples.
const (
	PolluxPassword   = "CANARY-pollux"       // of the user pollux in Redis
	ReplicaPassword  = "CANARY-replica"      // with which a replica logs in to its master
	SentinelPassword = "CANARY-sentinel"     // with which a Sentinel logs in to the servers that it watches
	WatchersPassword = "CANARY-to-sentinels" // of the Sentinels themselves
	AsynqmonPassword = "CANARY-asynqmon"     // of the user that looks at the queues of the containers
)

// Packaged copies a file of the folder packaging into dir, with passwords in
// the places that it leaves for them, as an operator does. What it says of
// /etc/redis and /var/lib/redis holds for dir.
func Packaged(t testing.TB, name, dir string) (path string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(moduleRoot(t), "packaging", name))
	if err != nil {
		t.Fatal(err)
	}
	filled := strings.NewReplacer(
		"#SHA256-OF-POLLUX-PASSWORD", "#"+hexHash(PolluxPassword),
		"#SHA256-OF-REPLICA-PASSWORD", "#"+hexHash(ReplicaPassword),
		"#SHA256-OF-SENTINEL-PASSWORD", "#"+hexHash(SentinelPassword),
		"#SHA256-OF-ASYNQMON-PASSWORD", "#"+hexHash(AsynqmonPassword),
		"PASSWORD-OF-REPLICA", ReplicaPassword,
		"PASSWORD-OF-SENTINEL", SentinelPassword,
		"PASSWORD-OF-THE-SENTINELS", WatchersPassword,
		"/etc/redis/", dir+"/", "/var/lib/redis", dir,
	).Replace(string(text))
	path = filepath.Join(dir, filepath.Base(name))
	if err := os.WriteFile(path, []byte(filled), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func hexHash(password string) string {
	sum := sha256.Sum256([]byte(password))
	return hex.EncodeToString(sum[:])
}

// moduleRoot is the folder of go.mod: tests run in the folder of their package.
func moduleRoot(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("no go.mod above the working directory")
		}
		dir = parent
	}
}

package config_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pollux/config"
	"pollux/secret"
)

func newKey(t *testing.T) secret.Key {
	t.Helper()
	text, err := secret.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	key, err := secret.ParseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// reveal is a key as it stands in a file.
func reveal(keys ...secret.Key) string {
	texts := make([]string, len(keys))
	for i, key := range keys {
		texts[i] = key.Text().Reveal()
	}
	return strings.Join(texts, ",")
}

func ids(keys ...secret.Key) (all []string) {
	for _, key := range keys {
		all = append(all, key.ID())
	}
	return all
}

func TestFormerKeys(t *testing.T) {
	t.Parallel()
	one, two, three := newKey(t), newKey(t), newKey(t)
	for text, want := range map[string][]string{
		"":                                  ids(one),
		reveal(two):                         ids(one, two),
		reveal(two, three):                  ids(one, two, three),
		" " + reveal(two) + " , " + ",":     ids(one, two),
		reveal(one, three, two, three, one): ids(one, three, two), // a copied line too many does no harm
	} {
		c, err := config.Load(write(t, fmt.Sprintf("APP_KEY=%s\nAPP_PREVIOUS_KEYS=%q\n", reveal(one), text)), nil)
		if err != nil || !slices.Equal(c.AppKey.IDs(), want) {
			t.Errorf("%q: keys %v, want %v, %v", text, c.AppKey.IDs(), want, err)
		}
	}
	c, err := config.Load(write(t, "APP_KEY="+reveal(one)), []string{"APP_PREVIOUS_KEYS=" + reveal(two)})
	if err != nil || !slices.Equal(c.AppKey.IDs(), ids(one, two)) {
		t.Errorf("from the environment: %v, %v", c.AppKey.IDs(), err)
	}
	if c, err := config.Load(write(t, "APP_PREVIOUS_KEYS="+reveal(one)), nil); err != nil || c.AppKey.ID() != "" {
		t.Errorf("former keys alone make the key %q, %v", c.AppKey.ID(), err)
	}
	many := reveal(two, three, newKey(t), newKey(t), newKey(t), newKey(t))
	for text, says := range map[string]string{
		many:                              "more than 5",
		reveal(two) + ",base64:canary":    "key 2 of the list",
		"canary":                          "key 1 of the list",
		reveal(two) + " " + reveal(three): "key 1 of the list",
	} {
		_, err := config.Load(write(t, fmt.Sprintf("APP_KEY=%s\nAPP_PREVIOUS_KEYS=%q\n", reveal(one), text)), nil)
		if !errors.Is(err, config.ErrInvalid) || !strings.Contains(err.Error(), "APP_PREVIOUS_KEYS") || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		} else if strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), reveal(two)) {
			t.Errorf("the error shows a key: %v", err)
		}
	}
}

func TestIdentityKeepsFormerKeys(t *testing.T) {
	t.Parallel()
	dir, old := t.TempDir(), newKey(t)
	given := newKey(t).WithFormer(old)
	for range 2 { // made, then read
		key, _, err := config.Identity(dir, given, "")
		if err != nil || !slices.Equal(key.IDs(), given.IDs()) {
			t.Errorf("keys %v, want %v, %v", key.IDs(), given.IDs(), err)
		}
		given = given.WithFormer(newKey(t)) // what stands in the directory counts from now on
		given, _, err = config.Identity(dir, given, "")
		if err != nil || len(given.IDs()) != 2 {
			t.Errorf("keys %v, %v", given.IDs(), err)
		}
	}
}

func TestKeyFile(t *testing.T) {
	t.Parallel()
	file, dir := write(t, "APP_KEY="+reveal(newKey(t))), t.TempDir()
	if _, _, err := config.Identity(dir, secret.Key{}, ""); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		config  config.Config
		environ []string
		want    string
	}{
		{config.Config{File: file}, []string{"HOME=/", "APP_KEYS=x"}, file},
		{config.Config{File: file}, []string{"APP_KEY=x"}, ""},
		{config.Config{File: file}, []string{"APP_PREVIOUS_KEYS=x"}, ""},
		{config.Config{}, nil, ""},
		{config.Config{File: file, DataDir: t.TempDir()}, nil, file}, // nothing was made in it yet
		{config.Config{File: file, DataDir: dir}, []string{"APP_KEY=x"}, filepath.Join(dir, "node.env")},
	} {
		if got := c.config.KeyFile(c.environ); got != c.want {
			t.Errorf("file %q, data directory %q, environment %v: %q, want %q", c.config.File, c.config.DataDir, c.environ, got, c.want)
		}
	}
}

// All forms of a line that godotenv reads must give the same file but for the keys.
func TestNextKeyChangesTwoLinesOnly(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text string // %[1]s is the key, %[2]s a former one
		former     bool
	}{
		{"plain", "# mine\nAPP_KEY=%[1]s\nNODE_ID=n\nDB_PASSWORD=\"a#b $x\"\n", false},
		{"no newline at the end", "NODE_ID=n\nAPP_KEY=%[1]s", false},
		{"comments and quotes", "#APP_KEY=no\nexport APP_KEY='%[1]s' # keep a copy\n\n\n", false},
		{"of a dictionary", "APP_KEY: %[1]s\nDB_PASSWORD='r$1{p}'\n", false},
		{"from Windows", "APP_KEY=%[1]s\r\nNODE_ID=n\r\n", false},
		{"an empty list", "APP_PREVIOUS_KEYS=\nAPP_KEY=%[1]s\n", false},
		{"an empty list in quotes", "APP_PREVIOUS_KEYS= '' # of old\nAPP_KEY=%[1]s\n", false},
		{"an older key", "APP_KEY=%[1]s\nAPP_PREVIOUS_KEYS=\"%[2]s\" # of old\nNODE_ID=n\n", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			old, older := newKey(t), newKey(t)
			file := write(t, strings.NewReplacer("%[1]s", reveal(old), "%[2]s", reveal(older)).Replace(c.text))
			next, err := config.NextKey(file)
			if err != nil {
				t.Fatal(err)
			}
			want := ids(next, old)
			if c.former {
				want = append(want, older.ID())
			}
			after, err := config.Load(file, nil)
			if err != nil || !slices.Equal(after.AppKey.IDs(), want) || !slices.Equal(next.IDs(), want) {
				t.Errorf("the file has the keys %v, want %v, %v", after.AppKey.IDs(), want, err)
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			kept := strings.NewReplacer(reveal(next), "%[1]s", reveal(old)+","+reveal(older), "%[2]s", reveal(old), "%[2]s").Replace(string(text))
			for line := range strings.Lines(c.text) {
				if !strings.Contains(line, "APP_PREVIOUS_KEYS") && !strings.Contains(kept, strings.TrimSuffix(line, "\n")) {
					t.Errorf("the line %q is gone:\n%s", line, kept)
				}
			}
			if strings.Contains(c.text, "# of old") != strings.Contains(kept, "# of old") || strings.Contains(c.text, "\r") && strings.Count(kept, "\r\n") != 3 {
				t.Errorf("comments or line ends changed:\n%q", kept)
			}
		})
	}
}

func TestNextKeyLeavesAFileThatItDoesNotUnderstand(t *testing.T) {
	t.Parallel()
	key, five := newKey(t), reveal(newKey(t), newKey(t), newKey(t), newKey(t), newKey(t))
	for name, text := range map[string]string{
		"no key":         "NODE_ID=n\n",
		"malformed key":  "APP_KEY=canary\n",
		"malformed list": "APP_KEY=" + reveal(key) + "\nAPP_PREVIOUS_KEYS=canary\n",
		"two lines":      "APP_KEY=" + reveal(newKey(t)) + "\nAPP_KEY=" + reveal(key) + "\n",
		"two lists":      "APP_KEY=" + reveal(key) + "\nAPP_PREVIOUS_KEYS=\nAPP_PREVIOUS_KEYS=" + reveal(newKey(t)) + "\n",
		"in a text":      "NOTE=\"\nAPP_KEY=canary\n\"\nAPP_KEY=" + reveal(key) + "\n",
		"from elsewhere": "MINE=" + reveal(key) + "\nAPP_KEY=canary${MINE}\n",
		"too many":       "APP_KEY=" + reveal(key) + "\nAPP_PREVIOUS_KEYS=" + five + "\n",
		"malformed":      "APP_KEY=" + reveal(key) + "\nthis is none\n",
	} {
		file := write(t, text)
		_, err := config.NextKey(file)
		if !errors.Is(err, config.ErrInvalid) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "base64:"+reveal(key)[7:]) {
			t.Errorf("%s: %v", name, err)
		}
		if after, err := os.ReadFile(file); err != nil || string(after) != text {
			t.Errorf("%s: the file changed, %v", name, err)
		}
		if left, _ := filepath.Glob(filepath.Join(filepath.Dir(file), ".env-*")); len(left) > 0 {
			t.Errorf("%s: left behind: %v", name, left)
		}
	}
	if _, err := config.NextKey(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestNextKeyKeepsModeOwnerAndLinks(t *testing.T) {
	t.Parallel()
	for _, mode := range []fs.FileMode{0o600, 0o640, 0o400} {
		file := write(t, "APP_KEY="+reveal(newKey(t))+"\n")
		link := filepath.Join(t.TempDir(), "link")
		if err := errors.Join(os.Chmod(file, mode), os.Symlink(file, link)); err != nil {
			t.Fatal(err)
		}
		owner := 0
		if os.Getuid() == 0 {
			owner = 12_345
			if err := os.Chown(file, owner, owner); err != nil {
				t.Fatal(err)
			}
		}
		next, err := config.NextKey(link)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(file)
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("mode %v, want %v, %v", info.Mode(), mode, err)
		}
		if owner != 0 && !strings.Contains(fmt.Sprintf("%+v", info.Sys()), fmt.Sprintf("Uid:%d Gid:%d", owner, owner)) {
			t.Errorf("another owner: %+v", info.Sys())
		}
		if to, err := os.Readlink(link); err != nil || to != file {
			t.Errorf("the link leads to %q, %v", to, err)
		}
		if c, err := config.Load(file, nil); err != nil || c.AppKey.ID() != next.ID() {
			t.Errorf("the file has the key %s, %v", c.AppKey.ID(), err)
		}
		if left, _ := filepath.Glob(filepath.Join(filepath.Dir(file), ".env-*")); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

package config

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"pollux/secret"
)

// maxFormerKeys bounds APP_PREVIOUS_KEYS. A rotation needs one; more are there
// while databases of several rotations, or one that was not finished, must open.
const maxFormerKeys = 5

const (
	keyName    = "APP_KEY"
	formerName = "APP_PREVIOUS_KEYS"
)

// appKey reads APP_KEY and APP_PREVIOUS_KEYS. Its errors show neither. Without an APP_KEY it is the zero Key.
func appKey(current, former string) (key secret.Key, err error) {
	if current != "" {
		if key, err = secret.ParseKey(secret.New(current)); err != nil {
			return secret.Key{}, fmt.Errorf("%s: %w", keyName, err)
		}
	}
	var all []secret.Key
	for word := range strings.SplitSeq(former, ",") {
		if word = strings.TrimSpace(word); word == "" {
			continue
		}
		if len(all) == maxFormerKeys {
			return secret.Key{}, fmt.Errorf("%s names more than %d keys; remove those that no database is under any more", formerName, maxFormerKeys)
		}
		one, err := secret.ParseKey(secret.New(word))
		if err != nil {
			return secret.Key{}, fmt.Errorf("%s, key %d of the list: %w", formerName, len(all)+1, err)
		}
		all = append(all, one)
	}
	if current == "" {
		return secret.Key{}, nil
	}
	return key.WithFormer(all...), nil
}

// keyLines are the lines of a .env file for a key and its former ones.
func keyLines(key secret.Key) string {
	lines := keyName + "=" + key.Text().Reveal() + "\n"
	if former := key.Former(); len(former) > 0 {
		lines += formerName + "=" + keyList(former) + "\n"
	}
	return lines
}

func keyList(keys []secret.Key) string {
	texts := make([]string, len(keys))
	for i, key := range keys {
		texts[i] = key.Text().Reveal()
	}
	return strings.Join(texts, ",")
}

// KeyFile is the file that a process takes its APP_KEY from: the node.env of the
// data directory, or the .env file. "" when the key comes from the environment,
// or APP_PREVIOUS_KEYS does, since the environment wins. environ has the form of os.Environ.
func (c Config) KeyFile(environ []string) string {
	if c.DataDir != "" && HasIdentity(c.DataDir) {
		return filepath.Join(c.DataDir, identityFile)
	}
	for _, pair := range environ {
		if name, _, _ := strings.Cut(pair, "="); name == keyName || name == formerName {
			return ""
		}
	}
	return c.File
}

// SameKey refuses an APP_KEY that whoever runs the program named, in the
// environment or in a file that they named, when the data directory has another one and
// does not have it as a former one either. Silently to go on with that of the directory
// would be a surprise at the next rotation or restore. named is the file that was named,
// "" for one that was found; kept is the key of the directory; environ has the form of os.Environ.
func (c Config) SameKey(kept secret.Key, named string, environ []string) error {
	if c.AppKey.ID() == "" || slices.Contains(kept.IDs(), c.AppKey.ID()) {
		return nil
	}
	source := named
	for _, pair := range environ {
		if name, value, _ := strings.Cut(pair, "="); name == keyName && value != "" {
			source = "the environment"
		} else if name == "POLLUX_ENV_FILE" && source == "" {
			source = value
		}
	}
	if source == "" {
		return nil
	}
	return fmt.Errorf("%w: APP_KEY of %s is %s, that of %s is %s: leave out the first to use the data directory with its own key, or correct --data-dir",
		ErrInvalid, source, c.AppKey.ID(), filepath.Join(c.DataDir, identityFile), kept.ID())
}

// NextKey writes a fresh APP_KEY into a .env file and puts the one that stood
// there in front of its APP_PREVIOUS_KEYS, at once or not at all. Everything
// else in the file stays as it is, its mode and owner too. It returns the new
// key with the former ones. ErrInvalid for a file whose lines cannot be changed safely.
func NextKey(file string) (secret.Key, error) {
	file, err := filepath.EvalSymlinks(file) // the file, and not a link to it, is replaced
	if err != nil {
		return secret.Key{}, fmt.Errorf("find the env file: %w", err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return secret.Key{}, fmt.Errorf("read the env file: %w", err)
	}
	variables, err := parse(file, text)
	if err != nil {
		return secret.Key{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	old, err := appKey(variables[keyName], variables[formerName])
	if err == nil && old.ID() == "" {
		err = errors.New(keyName + " is missing")
	}
	if err == nil && len(old.Former()) == maxFormerKeys {
		err = fmt.Errorf("%s names %d keys already; remove those that no database is under any more", formerName, maxFormerKeys)
	}
	if err != nil {
		return secret.Key{}, fmt.Errorf("%w: %s: %w", ErrInvalid, file, err)
	}
	next, err := freshKey()
	if err != nil {
		return secret.Key{}, err
	}
	next = next.WithFormer(old).WithFormer(old.Former()...)
	changed, err := withKey(string(text), variables, next)
	if err != nil {
		return secret.Key{}, fmt.Errorf("%w: %s: %w", ErrInvalid, file, err)
	}
	return next, replace(file, changed)
}

func freshKey() (secret.Key, error) {
	text, err := secret.GenerateKey()
	if err != nil {
		return secret.Key{}, err
	}
	return secret.ParseKey(text)
}

var (
	keyLine    = regexp.MustCompile(`^\s*(?:export\s+)?APP_KEY\s*[=:]`)
	formerLine = regexp.MustCompile(`^\s*(?:export\s+)?APP_PREVIOUS_KEYS\s*[=:]`)
)

var errByHand = errors.New("the lines of APP_KEY and APP_PREVIOUS_KEYS cannot be changed without touching others; make a key with: pollux key generate, and put it in by hand")

// withKey changes the two lines in the text of a .env file. What the text means
// is compared before and after, so that no way to write a line is misunderstood.
func withKey(text string, variables map[string]string, next secret.Key) (string, error) {
	lines := strings.SplitAfter(text, "\n")
	of, err := only(lines, keyLine)
	if err != nil || of < 0 {
		return "", errByHand
	}
	before, err := only(lines, formerLine)
	if err != nil {
		return "", errByHand
	}
	lines[of] = strings.Replace(lines[of], variables[keyName], next.Text().Reveal(), 1)
	former := keyList(next.Former())
	switch old := variables[formerName]; {
	case before < 0:
		ending := "\n"
		if strings.HasSuffix(lines[of], "\r\n") {
			ending = "\r\n"
		}
		if !strings.HasSuffix(lines[of], "\n") {
			lines[of] += ending
		}
		lines[of] += formerName + "=" + former + ending
	case old == "":
		at := formerLine.FindStringIndex(lines[before])[1]
		rest := strings.TrimLeft(lines[before][at:], " \t")
		lines[before] = lines[before][:at] + former + strings.TrimPrefix(strings.TrimPrefix(rest, `""`), "''")
	default:
		lines[before] = strings.Replace(lines[before], old, former, 1)
	}
	changed := strings.Join(lines, "")
	wanted := maps.Clone(variables)
	wanted[keyName], wanted[formerName] = next.Text().Reveal(), former
	if found, err := parse("", []byte(changed)); err != nil || !maps.Equal(found, wanted) {
		return "", errByHand
	}
	return changed, nil
}

// only is the index of the one line that matches, -1 for none; several are an error.
func only(lines []string, pattern *regexp.Regexp) (int, error) {
	at := slices.IndexFunc(lines, pattern.MatchString)
	if at >= 0 && slices.ContainsFunc(lines[at+1:], pattern.MatchString) {
		return 0, errByHand
	}
	return at, nil
}

// replace puts a new content in place of a file's, with its mode and owner, so
// that whoever could read it still can and nobody else.
func replace(file, text string) error {
	info, err := os.Stat(file)
	if err != nil {
		return fmt.Errorf("look at %s: %w", file, err)
	}
	temporary, err := temporaryFile(file, text, func(f *os.File) error {
		if was, ok := info.Sys().(*syscall.Stat_t); ok {
			if err := f.Chown(int(was.Uid), int(was.Gid)); err != nil {
				return fmt.Errorf("keep the file's owner (run this as its owner or as root): %w", err)
			}
		}
		return f.Chmod(info.Mode().Perm())
	})
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	defer os.Remove(temporary)
	if err := os.Rename(temporary, file); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return syncDirectory(filepath.Dir(file))
}

// syncDirectory makes a new name in a directory survive a power cut.
func syncDirectory(dir string) error {
	opened, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("write %s: %w", dir, err)
	}
	defer opened.Close()
	if err := opened.Sync(); err != nil {
		return fmt.Errorf("write %s: %w", dir, err)
	}
	return nil
}

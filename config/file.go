package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/joho/godotenv"
)

// merge puts the environment over the file.
func merge(file string, environ []string) (variables map[string]string, used string, err error) {
	own := map[string]string{}
	for _, pair := range environ {
		if name, value, found := strings.Cut(pair, "="); found && name != "" {
			own[name] = value
		}
	}
	candidates, required := []string{".env", DefaultFile}, false
	if file == "" {
		file = own["POLLUX_ENV_FILE"]
	}
	if file != "" {
		candidates, required = []string{file}, true
	}
	variables = map[string]string{}
	for _, candidate := range candidates {
		read, err := readFile(candidate)
		if !required && (errors.Is(err, fs.ErrNotExist) || hidden(candidate)) {
			continue
		}
		if err != nil {
			return nil, "", fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		variables = read
		if used, err = filepath.Abs(candidate); err != nil {
			used = candidate
		}
		break
	}
	for name, value := range own {
		variables[name] = value
	}
	return variables, used, nil
}

// hidden says whether a file cannot even be looked for, as in a working
// directory of another user. A file that is there but cannot be read is not hidden.
func hidden(name string) bool {
	_, err := os.Stat(name)
	return errors.Is(err, fs.ErrPermission)
}

// readFile parses a .env file.
func readFile(name string) (map[string]string, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read the env file: %w", err)
	}
	return parse(name, text)
}

// parse reads the text of a .env file; name is for its errors. godotenv's own
// error texts quote the file, and with it passwords: only the place is kept.
func parse(name string, text []byte) (map[string]string, error) {
	if len(text) > 1<<20 {
		return nil, fmt.Errorf("the env file %s is larger than 1 MiB", name)
	}
	read, err := godotenv.Unmarshal(literal(string(text)))
	if err != nil {
		return nil, fmt.Errorf("the env file %s is malformed%s; every line is NAME=value", name, firstBadLine(string(text)))
	}
	return read, nil
}

// literal keeps godotenv from taking a "$" in a value for the name of another
// variable: a password with one must arrive whole. Single quotes do so by themselves.
func literal(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		name, value, found := strings.Cut(line, "=")
		if !found || strings.HasPrefix(strings.TrimSpace(value), "'") || strings.HasPrefix(strings.TrimSpace(name), "#") {
			continue
		}
		value = strings.ReplaceAll(strings.ReplaceAll(value, `\$`, "$"), "$", `\$`)
		lines[i] = name + "=" + value
	}
	return strings.Join(lines, "\n")
}

// firstBadLine finds the line that does not parse by itself, " at line 3".
func firstBadLine(text string) string {
	for i, line := range strings.Split(text, "\n") {
		if _, err := godotenv.Unmarshal(line); err != nil {
			return fmt.Sprintf(" at line %d", i+1)
		}
	}
	return ""
}

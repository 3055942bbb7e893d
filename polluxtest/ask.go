package polluxtest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// askLimit is how long a Redis may take to answer a question of a test.
const askLimit = 10 * time.Second

// Ask sends a redis-server or a Sentinel one command over its unix socket, as
// the user that may do everything, and returns the answer; the elements of an
// array stand on lines of their own. An error reply is an error, and so is a
// server that does not answer within 3 s.
func (s *Server) Ask(words ...string) (string, error) { return s.AskAs(s.login, words...) }

// AskAs is Ask as another user: login is its name and its password, or nothing.
func (s *Server) AskAs(login []string, words ...string) (string, error) {
	conn, err := net.DialTimeout("unix", s.Socket, askLimit)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(askLimit))
	answers := bufio.NewReader(conn)
	if len(login) > 0 {
		if _, err := exchange(conn, answers, append([]string{"AUTH"}, login...)); err != nil {
			return "", err
		}
	}
	return exchange(conn, answers, words)
}

// Must is Ask for a command that works; else the test ends.
func (s *Server) Must(words ...string) string {
	s.t.Helper()
	answer, err := s.Ask(words...)
	if err != nil {
		s.t.Fatalf("%s: %q: %v", s.name, words, err)
	}
	return answer
}

func exchange(to io.Writer, from *bufio.Reader, words []string) (string, error) {
	var command strings.Builder
	fmt.Fprintf(&command, "*%d\r\n", len(words))
	for _, word := range words {
		fmt.Fprintf(&command, "$%d\r\n%s\r\n", len(word), word)
	}
	if _, err := io.WriteString(to, command.String()); err != nil {
		return "", err
	}
	return readReply(from)
}

// readReply reads one reply of the Redis protocol, version 2.
func readReply(from *bufio.Reader) (string, error) {
	line, err := from.ReadString('\n')
	if err != nil {
		return "", err
	}
	kind, text := line[0], strings.TrimSpace(line[1:])
	switch kind {
	case '+', ':':
		return text, nil
	case '-':
		return "", errors.New(text)
	}
	size, err := strconv.Atoi(text)
	if err != nil || kind != '$' && kind != '*' {
		return "", fmt.Errorf("not a reply: %q", line)
	}
	if size < 0 {
		return "", nil
	}
	if kind == '$' {
		body := make([]byte, size+2)
		_, err := io.ReadFull(from, body)
		return string(body[:size]), err
	}
	elements := make([]string, size)
	for i := range elements {
		if elements[i], err = readReply(from); err != nil {
			return "", err
		}
	}
	return strings.Join(elements, "\n"), nil
}

// InfoField is a field of a Redis' INFO; "" when it is not there or the server does not answer.
func (s *Server) InfoField(name string) string {
	info, err := s.Ask("INFO", "everything")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(info) {
		if value, found := strings.CutPrefix(line, name+":"); found {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

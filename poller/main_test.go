package poller

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"pollux/snmp"
)

// passFile names, in the environment, the objects that a process of this test answers snmpd for.
const passFile = "POLLUX_TEST_PASS"

// TestMain is the test, or what snmpd starts to be told of objects that it does not have itself.
func TestMain(m *testing.M) {
	if file := os.Getenv(passFile); file != "" && len(os.Args) == 2 && os.Args[1] == "pass" {
		if err := pass(file, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// pass speaks pass_persist of snmpd.conf(5) for the lines "OID|tag|value" of a file, which are in order.
func pass(file string, in io.Reader, out io.Writer) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	objects := strings.Split(strings.TrimSpace(string(text)), "\n")
	words := bufio.NewScanner(in)
	for words.Scan() {
		answer := "NONE"
		switch verb := words.Text(); verb {
		case "PING":
			answer = "PONG"
		case "get", "getnext":
			if !words.Scan() {
				return words.Err()
			}
			wanted := strings.TrimPrefix(words.Text(), ".")
			for _, line := range objects {
				oid, value, _ := strings.Cut(line, "|")
				if order := snmp.CompareIndexes(oid, wanted); order == 0 && verb == "get" || order > 0 && verb == "getnext" {
					answer = "." + oid + "\n" + passed(value)
					break
				}
			}
		}
		if _, err := fmt.Fprintln(out, answer); err != nil {
			return err
		}
	}
	return words.Err()
}

// passed is a value of a recording as pass_persist writes it: a line for the type and one for the value.
func passed(recorded string) string {
	tag, value, _ := strings.Cut(recorded, "|")
	if raw, err := hex.DecodeString(value); err == nil && tag == "4x" {
		return fmt.Sprintf("octet\n% x", raw)
	}
	types := map[string]string{"2": "integer", "4": "string", "6": "objectid", "65": "counter", "66": "gauge", "67": "timeticks", "70": "counter64"}
	return types[tag] + "\n" + value
}

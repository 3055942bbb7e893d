package main

import (
	"strings"
	"testing"

	"pollux/polluxtest"
	"pollux/simulator"
)

// mistake is a command line that must be refused, and must leave the database as it was.
type mistake struct {
	name string
	args []string
	in   string
	env  []string
	code int
	says []string
}

func add(args ...string) []string { return append([]string{"device", "add"}, args...) }
func add3(secrets ...string) []string {
	return append([]string{"device", "add", "new", "-3"}, secrets...)
}

// mistakesOfNames are hostnames and places that cannot be meant.
func mistakesOfNames() []mistake {
	const form = "letters, digits"
	return []mistake{
		{name: "slash", args: add("a/b"), code: exitUsage, says: []string{form}},
		{name: "two dots", args: add(".."), code: exitUsage, says: []string{form}},
		{name: "path", args: add("../../etc/passwd"), code: exitUsage, says: []string{form}},
		{name: "newline", args: add("a\nDELETE b"), code: exitUsage, says: []string{`a\nDELETE b`, form}},
		{name: "escape sequence", args: add("\x1b[31mred"), code: exitUsage, says: []string{form}},
		{name: "right to left", args: add("a\u202eb"), code: exitUsage, says: []string{form}},
		{name: "300 characters", args: add(strings.Repeat("a", 300)), code: exitUsage, says: []string{"at most 253"}},
		{name: "empty", args: add(""), code: exitUsage, says: []string{"empty"}},
		{name: "leading hyphen", args: add("--", "-v"), code: exitUsage, says: []string{form}},
		{name: "bad address", args: add("new", "--address", "a b"), code: exitUsage, says: []string{"address", form}},
		{name: "new label", args: []string{"device", "set", "known", "-d", "a/b"}, code: exitUsage, says: []string{form}},
		{name: "port 0", args: add("new", "-r", "0"), code: exitUsage, says: []string{"1 to 65535"}},
		{name: "port 70000", args: add("new", "-r", "70000"), code: exitUsage, says: []string{"1 to 65535"}},
		{name: "port text", args: add("new", "-r", "snmp"), code: exitUsage, says: []string{"whole number", "--help"}},
		{name: "port of inspect", args: []string{"inspect", "127.0.0.1:snmp"}, code: exitUsage, says: []string{"1 to 65535"}},
		{name: "inspect nothing", args: []string{"inspect", ""}, code: exitUsage, says: []string{"name or an address"}},
		{name: "inspect an open bracket", args: []string{"inspect", "[::1"}, code: exitUsage, says: []string{"HOST:PORT"}},
		{name: "inspect a newline", args: []string{"inspect", "127.0.0.1\n"}, code: exitUsage, says: []string{"printable"}},
		{name: "inspect nobody in a zone", args: []string{"inspect", "fe80::1%nowhere"}, code: exitUnreachable, says: []string{"fe80::1%nowhere"}},
		{name: "interval 5", args: add("new", "--interval", "5"), code: exitUsage, says: []string{"10 to 3600"}},
		{name: "interval 4000", args: add("new", "--interval", "4000"), code: exitUsage, says: []string{"10 to 3600"}},
		{name: "interval of a known device", args: []string{"device", "set", "known", "--interval", "5"}, code: exitUsage, says: []string{"10 to 3600"}},
		{name: "transport", args: add("new", "-t", "sctp"), code: exitUsage, says: []string{"udp, udp6, tcp or tcp6"}},
		{name: "group while groups are off", args: add("new", "-g", "3"), code: exitUsage, says: []string{"config set distributed_poller true"}},
		{name: "group of a known device", args: []string{"device", "set", "known", "-g", "3"}, code: exitUsage, says: []string{"distributed_poller"}},
		{name: "list of a group while groups are off", args: []string{"device", "list", "-g", "0"}, code: exitUsage, says: []string{"config set distributed_poller true"}},
		{name: "list of an unknown status", args: []string{"device", "list", "--status", "broken"}, code: exitUsage, says: []string{"up, down, auth"}},
		{name: "duplicate", args: add("known", "-f"), code: exitFailure, says: []string{"there is one already", "known"}},
		{name: "duplicate label", args: []string{"device", "set", "known", "-d", "second"}, code: exitFailure, says: []string{"there is one already"}},
		{name: "nothing to change", args: []string{"device", "set", "known"}, code: exitUsage, says: []string{"say what to change"}},
		{name: "on and off", args: []string{"device", "set", "known", "--enable", "--disable"}, code: exitUsage, says: []string{"one of --enable and --disable"}},
		{name: "show unknown", args: []string{"device", "show", "nobody"}, code: exitNotFound, says: []string{"device list"}},
		{name: "show unknown id", args: []string{"device", "show", "4711"}, code: exitNotFound, says: []string{"device list"}},
		{name: "show unknown as JSON", args: []string{"device", "show", "nobody", "--json"}, code: exitNotFound, says: []string{"device list"}},
		{name: "set unknown", args: []string{"device", "set", "nobody", "--interval", "60"}, code: exitNotFound, says: []string{"device list"}},
		{name: "remove unknown", args: []string{"device", "remove", "nobody"}, code: exitNotFound, says: []string{"device list"}},
	}
}

// mistakesOfSecrets are credentials that cannot be right by themselves.
func mistakesOfSecrets() []mistake {
	return []mistake{
		{name: "v1 and v2c", args: add("new", "-1", "-2"), code: exitUsage, says: []string{"one of -1, -2 and -3"}},
		{name: "v2c with a user", args: add("new", "-2", "-u", "monitor"), code: exitUsage, says: []string{"belong to SNMP v3"}},
		{name: "v3 without a user", args: add3("-A", canaryAuth), code: exitUsage, says: []string{"-u NAME"}},
		{name: "short password", args: add3("-u", "monitor", "-A", "CANARY"), code: exitUsage, says: []string{"shorter than 8"}},
		{name: "short privacy password", args: add3("-u", "monitor", "-A", canaryAuth, "-X", "CANARY"), code: exitUsage, says: []string{"privacy password: shorter than 8"}},
		{name: "privacy alone", args: add3("-u", "monitor", "-X", canaryPriv), code: exitUsage, says: []string{"privacy needs one"}},
		{name: "unknown protocol", args: add3("-u", "monitor", "-A", canaryAuth, "-a", "CRC"), code: exitUsage, says: []string{"want MD5, SHA"}},
		{name: "empty community", args: add("new", "-2", "-c", ""), code: exitUsage, says: []string{"1 to 127"}},
		{name: "long community", args: add("new", "-2", "-c", strings.Repeat(canary, 30)), code: exitUsage, says: []string{"1 to 127"}},
		{name: "variable not set", args: add("new", "-c", "env:NO_SUCH_NAME"), code: exitUsage, says: []string{"NO_SUCH_NAME", "not set"}},
		{name: "variable without name", args: add("new", "-c", "env:"), code: exitUsage, says: []string{"not set"}},
		{name: "empty variable", args: add("new", "-c", "env:NOTHING"), env: []string{"NOTHING="}, code: exitUsage, says: []string{"1 to 127"}},
		{name: "no line of input", args: add("new", "-c", "-"), code: exitUsage, says: []string{"no further line"}},
		{name: "one line for two", args: add3("-u", "monitor", "-A", "-", "-X", "-"), in: canaryAuth + "\n", code: exitUsage, says: []string{"privacy password", "no further line"}},
		{name: "letter that is none", args: add("new", "-k"+canaryAuth), code: exitUsage, says: []string{"unknown shorthand flag", "--help"}},
		{name: "flag that is none", args: add("new", "--comunity="+canaryCommunity), code: exitUsage, says: []string{"unknown flag: --comunity", "--help"}},
		{name: "flag with an escape sequence", args: add("new", "--\x1b[2J"), code: exitUsage, says: []string{"unknown flag: --?[2J"}},
		{name: "flag without its value", args: add("new", "-c"), code: exitUsage, says: []string{"needs an argument", "--help"}},
	}
}

// mistakesOfCommands are words that the program does not know.
func mistakesOfCommands() []mistake {
	return []mistake{
		{name: "unknown command", args: []string{"devise"}, code: exitUsage, says: []string{`"pollux devise"`, "did you mean device?", "pollux --help"}},
		{name: "unknown word of device", args: []string{"device", "ad"}, code: exitUsage, says: []string{"did you mean add", "pollux device --help"}},
		{name: "missing argument", args: []string{"device", "show"}, code: exitUsage, says: []string{"pollux device show HOST", "0 arguments"}},
		{name: "too many arguments", args: []string{"device", "list", "a", "b"}, code: exitUsage, says: []string{"pollux device list", "2 arguments"}},
		{name: "unknown setting, near", args: []string{"config", "get", "snmp.timeut"}, code: exitNotFound, says: []string{"did you mean snmp.timeout?"}},
		{name: "unknown setting, far", args: []string{"config", "set", "x", "1"}, code: exitNotFound, says: []string{"config list"}},
		{name: "unknown setting, unset", args: []string{"config", "unset", "rrd.rre"}, code: exitNotFound, says: []string{"did you mean rrd.rra?"}},
		{name: "setting out of range", args: []string{"config", "set", "snmp.timeout", "99"}, code: exitUsage, says: []string{"1 to 30", `"99"`}},
		{name: "setting that is no number", args: []string{"config", "set", "snmp.timeout", "1e1"}, code: exitUsage, says: []string{"whole number"}},
		{name: "setting that is no bool", args: []string{"config", "set", "distributed_poller", "on"}, code: exitUsage, says: []string{"true or false"}},
		{name: "archives", args: []string{"config", "set", "rrd.rra", "AVERAGE:x"}, code: exitUsage, says: []string{"rrd.rra"}},
		{name: "setting without value", args: []string{"config", "set", "snmp.timeout"}, code: exitUsage, says: []string{"pollux config set KEY VALUE"}},
		{name: "events of no type", args: []string{"event", "list", "--type", "setting"}, code: exitUsage, says: []string{"queue, reboot, sensor, settings", `"setting"`}},
		{name: "events of no severity", args: []string{"event", "list", "--severity", "WARNING"}, code: exitUsage, says: []string{"ok, info, notice, warning, error"}},
		{name: "events since a word", args: []string{"event", "list", "--since", "yesterday"}, code: exitUsage, says: []string{"90m, 24h or 7d"}},
		{name: "events since later", args: []string{"event", "list", "--since", "-1h"}, code: exitUsage, says: []string{"90m, 24h or 7d"}},
		{name: "events since no days", args: []string{"event", "list", "--since", "0d"}, code: exitUsage, says: []string{"90m, 24h or 7d"}},
		{name: "events since ever", args: []string{"event", "list", "--since", "99999999999999999999d"}, code: exitUsage, says: []string{"up to 3650d"}},
		{name: "no events", args: []string{"event", "list", "--limit", "0"}, code: exitUsage, says: []string{"1 to 10000"}},
		{name: "too many events", args: []string{"event", "list", "--limit", "10001"}, code: exitUsage, says: []string{"1 to 10000"}},
		{name: "a word of events", args: []string{"event", "list", "--limit", "all"}, code: exitUsage, says: []string{"whole number", "--help"}},
		{name: "events of a role", args: []string{"event", "list", "--node", "consumer:c1"}, code: exitUsage, says: []string{"NODE_ID without a role"}},
		{name: "events of an unknown device", args: []string{"event", "list", "--device", "nobody"}, code: exitNotFound, says: []string{"no device", "device list"}},
		{name: "events of an empty device", args: []string{"event", "list", "--device", ""}, code: exitNotFound, says: []string{"device list"}},
		{name: "events of a word", args: []string{"event", "list", "settings"}, code: exitUsage, says: []string{"pollux event list", "1 arguments"}},
		{name: "migrate down without yes", args: []string{"migrate", "down"}, code: exitUsage, says: []string{"--yes"}},
		{name: "demo of no devices", args: []string{"demo", "--devices", "0"}, code: exitUsage, says: []string{"1 to 10000"}},
		{name: "standalone without a place", args: []string{"standalone"}, code: exitUsage, says: []string{"--data-dir"}},
		{name: "simulate a script that is none", args: []string{"simulate", "--listen", "127.0.0.1:0", "--hostile", "lossy,rude"}, code: exitUsage},
		{name: "simulate from no time on", args: []string{"simulate", "--listen", "127.0.0.1:0", "--hostile", "lossy", "--hostile-at", "noon"}, code: exitUsage},
		{name: "simulate where it cannot", args: []string{"simulate", "--listen", "8.8.8.8:161:1"}, code: exitUsage},
		{name: "healthcheck of no address", args: []string{"healthcheck", "--address", "here"}, code: exitUsage, says: []string{"host:port"}},
		{name: "healthcheck of a free port", args: []string{"healthcheck"}, code: exitUsage, says: []string{"--address"}},
		{name: "healthcheck of nobody", args: []string{"healthcheck", "--address", "127.0.0.1:1"}, code: exitUnreachable, says: []string{"is one running?"}},
		{name: "inspect without patience", args: []string{"inspect", "127.0.0.1", "--timeout", "1ms"}, code: exitUsage, says: []string{"from 100ms"}},
	}
}

// mistakesOfDevices are devices that do not answer, or not to these credentials.
func mistakesOfDevices(t *testing.T, port string) []mistake {
	closed := freeUDP(t)
	at := func(more ...string) []string {
		return add(append([]string{"new", "--address", "127.0.0.1", "-r", port}, more...)...)
	}
	user := func(name, auth, priv string) []string { return at("-3", "-u", name, "-A", auth, "-X", priv) }
	return []mistake{
		{name: "unknown host", args: add("no-such-host.invalid"), code: exitUnreachable, says: []string{"name", "not known", "check the spelling"}},
		{name: "inspect an unknown host", args: []string{"inspect", "no-such-host.invalid"}, code: exitUnreachable, says: []string{"check the spelling"}},
		{name: "nobody there", args: add("new", "--address", "127.0.0.1", "-r", closed, "-2", "-c", canaryCommunity), code: exitUnreachable, says: []string{"not added", "check address, port, community", "-f"}},
		{name: "nobody there over TCP", args: add("new", "--address", "127.0.0.1", "-r", closed, "-2", "-t", "tcp"), code: exitUnreachable, says: []string{"no answer"}},
		{name: "wrong community", args: at("-2", "-c", "CANARY-wrong"), code: exitUnreachable, says: []string{"check address, port, community"}},
		{name: "wrong authentication password", args: user("monitor", "CANARY-wrong-one", canaryPriv), code: exitCredentials, says: []string{"wrongDigests", "check user, protocols and passwords"}},
		{name: "wrong authentication protocol", args: append(user("monitor", canaryAuth, canaryPriv), "-a", "MD5"), code: exitCredentials, says: []string{"check user, protocols"}},
		{name: "wrong privacy password", args: user("monitor", canaryAuth, "CANARY-wrong-one"), code: exitCredentials, says: []string{"decryptionErrors", "check user, protocols and passwords"}},
		{name: "unknown user", args: user("nobody", canaryAuth, canaryPriv), code: exitCredentials, says: []string{"unknownUserNames"}},
		{name: "level too low", args: at("-3", "-u", "monitor", "-A", canaryAuth), code: exitCredentials, says: []string{"check user, protocols and passwords", "authorizationError"}},
		{name: "inspect with the level too low", args: []string{"inspect", "127.0.0.1:" + port, "-3", "-u", "monitor", "-A", canaryAuth}, code: exitCredentials, says: []string{"authorizationError"}},
		{name: "inspect with the wrong user as JSON", args: []string{"inspect", "127.0.0.1:" + port, "-3", "-u", "nobody", "-A", canaryAuth, "--json"}, code: exitCredentials, says: []string{"unknownUserNames"}},
		{name: "inspect nobody", args: []string{"inspect", "127.0.0.1:" + closed, "-2", "--timeout", "200ms", "--retries", "0"}, code: exitUnreachable, says: []string{"check address, port"}},
	}
}

func TestBadInputChangesNothing(t *testing.T) {
	t.Parallel()
	port := agents(t, simulator.Config{})
	s := migrated(t)
	s.ok("device", "add", "known", "--address", "127.0.0.1", "-r", agents(t, simulator.Config{}), "-2", "-c", canaryCommunity)
	s.ok("device", "add", "second", "-f", "-3", "-u", "monitor", "-A", canaryAuth, "-X", canaryPriv)
	before := dump(t, s.database())
	if strings.Contains(before, canary) {
		t.Error("the database holds a secret that is not sealed")
	}
	all := append(mistakesOfNames(), mistakesOfSecrets()...)
	all = append(append(all, mistakesOfCommands()...), mistakesOfDevices(t, port)...)
	for _, m := range all {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			s := s.with(m.env...).in(t)
			r := s.callWith(m.in, m.args...)
			r.fails(m.code, m.says...)
			if r.out != "" && m.args[0] != "inspect" {
				t.Errorf("the standard output is not empty: %s", r.out)
			}
			s.unchanged(before)
		})
	}
}

// A group must exist once groups are on, and still nothing is stored.
func TestUnknownGroupIsNotFound(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	s.turnOnGroups()
	s.ok("device", "add", "known", "-f")
	before := dump(t, s.database())
	s.call("device", "add", "new", "-f", "-g", "77").fails(exitNotFound, "poller group 77")
	s.call("device", "set", "known", "-g", "77").fails(exitNotFound, "poller group 77")
	s.call("device", "add", "new", "-f", "-g", "-1").fails(exitNotFound, "poller group -1")
	s.call("device", "add", "new", "-f", "-g", "south").fails(exitNotFound, "no poller group south", "group list")
	s.call("device", "list", "-g", "77").fails(exitNotFound, "no poller group 77")
	s.call("device", "list", "-g", "a\x1b[2J").fails(exitNotFound, "no poller group a?[2J")
	s.unchanged(before)
}

func TestUnknownDeviceIsNotPolled(t *testing.T) {
	t.Parallel()
	redis := polluxtest.Redis(t)
	s := migrated(t, "REDIS_SOCKET="+redis.Socket)
	before := dump(t, s.database())
	s.spawn("device", "poll", "nobody").fails(exitNotFound, "device list")
	s.spawn("device", "poll", "nobody", "--json").fails(exitNotFound, "device list")
	s.unchanged(before)
}

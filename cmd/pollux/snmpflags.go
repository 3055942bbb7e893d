package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"pollux/secret"
	"pollux/settings"
	"pollux/snmp"
)

const (
	defaultCommunity = "public"
	maxSecretLine    = 1024 // bytes read of a secret from the standard input
)

// snmpFlags are the flags by which LibreNMS's device:add says how a device is asked.
type snmpFlags struct {
	v1, v2c, v3             bool
	community               string
	user, authPass          string
	authProtocol, privPass  string
	privProtocol, transport string
	context                 string
	port                    int

	// literal takes secrets as they stand: of a file, whose author must not get at the input or the variables of this process.
	literal bool
}

const secretHelp = `; "-" asks or reads a line of the input, "env:NAME" takes a variable; a value here is visible to ps`

func (f *snmpFlags) add(command *cobra.Command) {
	f.addCredentials(command)
	flags := command.Flags()
	flags.IntVarP(&f.port, "port", "r", 0, "port of the SNMP agent (default 161; of a new device the setting "+settings.KeySNMPPort+")")
	flags.StringVarP(&f.transport, "transport", "t", "", "udp, udp6, tcp or tcp6 (default udp; of a new device the first of the setting "+settings.KeySNMPTransports+")")
}

// addCredentials adds those that say who asks.
func (f *snmpFlags) addCredentials(command *cobra.Command) {
	flags := command.Flags()
	flags.BoolVarP(&f.v1, "v1", "1", false, "SNMP v1")
	flags.BoolVarP(&f.v2c, "v2c", "2", false, "SNMP v2c")
	flags.BoolVarP(&f.v3, "v3", "3", false, "SNMP v3")
	flags.StringVarP(&f.community, "community", "c", defaultCommunity, "community of v1 and v2c"+secretHelp)
	flags.StringVarP(&f.user, "security-name", "u", "", "v3 user")
	flags.StringVarP(&f.authPass, "auth-password", "A", "", "v3 authentication password"+secretHelp)
	flags.StringVarP(&f.authProtocol, "auth-protocol", "a", "", "MD5, SHA, SHA-224, SHA-256, SHA-384 or SHA-512 (default SHA-256 with a password)")
	flags.StringVarP(&f.privPass, "privacy-password", "X", "", "v3 privacy password"+secretHelp)
	flags.StringVarP(&f.privProtocol, "privacy-protocol", "x", "", "DES, AES (AES-128), AES-192, AES-256, AES-192-C or AES-256-C (default AES with a password)")
	flags.StringVar(&f.context, "context", "", "v3 context name")
}

// v3Flags say who asks an SNMPv3 agent, credentialFlags who asks at all, as opposed to where.
var (
	v3Flags         = []string{"security-name", "auth-password", "auth-protocol", "privacy-password", "privacy-protocol", "context"}
	versionFlags    = []string{"v1", "v2c", "v3"}
	credentialFlags = slices.Concat(versionFlags, []string{"community"}, v3Flags)
)

// given says whether any of the flags was.
func given(command *cobra.Command, names []string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return command.Flags().Changed(name) })
}

// version is the one that was asked for: by its own flag, or by one that only v3 has. "" leaves it open.
func (f *snmpFlags) version(command *cobra.Command) (snmp.Version, error) {
	var chosen []snmp.Version
	for _, flag := range []struct {
		given   bool
		version snmp.Version
	}{{f.v1, snmp.V1}, {f.v2c, snmp.V2c}, {f.v3, snmp.V3}} {
		if flag.given {
			chosen = append(chosen, flag.version)
		}
	}
	switch of3 := given(command, v3Flags); {
	case len(chosen) > 1:
		return "", usagef("give one of -1, -2 and -3")
	case of3 && len(chosen) == 1 && chosen[0] != snmp.V3:
		return "", usagef("user, passwords, protocols and context belong to SNMP v3: give -3, or none of them")
	case of3:
		return snmp.V3, nil
	case len(chosen) == 1:
		return chosen[0], nil
	default:
		return "", nil
	}
}

// candidates are the credentials to try: those of the version that is named,
// else of each in order. v3 takes part only with a user; with a user and no
// community nothing else does.
func (f *snmpFlags) candidates(p *program, command *cobra.Command, order []string) ([]snmp.Credentials, error) {
	version, err := f.version(command)
	if err != nil {
		return nil, err
	}
	secrets, err := f.secrets(p)
	if err != nil {
		return nil, err
	}
	user, community := given(command, v3Flags), command.Flags().Changed("community")
	versions := []snmp.Version{version}
	if version == "" || user && community && !given(command, versionFlags) {
		versions = versions[:0]
		for _, word := range order {
			if v := snmp.Version(word); v != snmp.V3 || user {
				versions = append(versions, v)
			}
		}
		if user && !slices.Contains(versions, snmp.V3) {
			versions = append(versions, snmp.V3)
		}
	}
	if len(versions) == 0 {
		return nil, errNoUser
	}
	var all []snmp.Credentials
	for _, version := range versions {
		c := f.applied(command, secrets, snmp.Credentials{Version: version})
		if version == snmp.V3 && c.User == "" {
			return nil, errNoUser
		}
		if err := c.Validate(); err != nil {
			return nil, usagef("%v", err)
		}
		all = append(all, c)
	}
	return all, nil
}

var errNoUser = usagef("SNMP v3 needs a user: -u NAME")

// change reads the secrets and returns what the flags make of credentials:
// what is not given stays, unless it belongs to another version.
func (f *snmpFlags) change(p *program, command *cobra.Command) (func(snmp.Credentials) snmp.Credentials, error) {
	version, err := f.version(command)
	if err != nil {
		return nil, err
	}
	secrets, err := f.secrets(p)
	if err != nil {
		return nil, err
	}
	return func(c snmp.Credentials) snmp.Credentials {
		switch {
		case version != "":
			c.Version = version
		case command.Flags().Changed("community") && (c.Version == snmp.V3 || c.Version == ""): // "" was asked by ICMP only
			c.Version = snmp.V2c
		}
		return f.applied(command, secrets, c)
	}, nil
}

// flagSecrets are the secrets of the flags, read from where those say.
type flagSecrets struct{ community, auth, priv secret.String }

func (f *snmpFlags) secrets(p *program) (read flagSecrets, err error) {
	for _, flag := range []struct {
		what, value string
		to          *secret.String
	}{
		{"community", f.community, &read.community}, {"authentication password", f.authPass, &read.auth}, {"privacy password", f.privPass, &read.priv},
	} {
		text := flag.value
		if !f.literal {
			if text, err = p.secretFlag(flag.what, flag.value); err != nil {
				return flagSecrets{}, err
			}
		}
		*flag.to = secret.New(text)
	}
	return read, nil
}

// applied is what the flags make of credentials of a version.
func (f *snmpFlags) applied(command *cobra.Command, secrets flagSecrets, c snmp.Credentials) snmp.Credentials {
	changed := command.Flags().Changed
	if c.Version != snmp.V3 {
		community := c.Community
		if changed("community") || community.IsEmpty() {
			community = secrets.community
		}
		return snmp.Credentials{Version: c.Version, Community: community}
	}
	c.Community = secret.String{}
	set(changed("security-name"), &c.User, f.user)
	set(changed("auth-password"), &c.AuthPassword, secrets.auth)
	set(changed("auth-protocol"), &c.AuthProtocol, strings.ToUpper(f.authProtocol))
	set(changed("privacy-password"), &c.PrivPassword, secrets.priv)
	set(changed("privacy-protocol"), &c.PrivProtocol, privacy(f.privProtocol))
	set(changed("context"), &c.Context, f.context)
	set(c.AuthProtocol == "" && !c.AuthPassword.IsEmpty() && !changed("auth-protocol"), &c.AuthProtocol, "SHA-256")
	set(c.PrivProtocol == "" && !c.PrivPassword.IsEmpty() && !changed("privacy-protocol"), &c.PrivProtocol, "AES")
	return c
}

// privacy is a privacy protocol as it is stored. SNMP tools call AES by its key's length, too.
func privacy(text string) string {
	switch name := strings.ToUpper(text); name {
	case "AES-128", "AES128":
		return "AES"
	case "AES192", "AES256", "AES192-C", "AES256-C":
		return "AES-" + strings.TrimPrefix(name, "AES")
	default:
		return name
	}
}

// place is where the device is asked: LibreNMS's port and transport. What is not given is what the settings say.
func (f *snmpFlags) place(command *cobra.Command, values settings.Values) (port uint16, transport string, err error) {
	number, transport := f.port, f.transport
	if number == 0 && !command.Flags().Changed("port") {
		number = values.Int(settings.KeySNMPPort)
	}
	if number < 1 || number > 65_535 {
		return 0, "", usagef("the port is a number from 1 to 65535, not %d", number)
	}
	allowed := values.List(settings.KeySNMPTransports)
	if transport == "" && !command.Flags().Changed("transport") {
		transport = allowed[0]
	}
	switch {
	case slices.Contains(allowed, transport):
		return uint16(number), transport, nil
	case slices.Contains([]string{"udp", "udp6", "tcp", "tcp6"}, transport):
		return 0, "", usagef("the transport %s is not among those of the setting %s: %s", transport, settings.KeySNMPTransports, strings.Join(allowed, ","))
	default:
		return 0, "", usagef("the transport is udp, udp6, tcp or tcp6, not %.40q", transport)
	}
}

// secretFlag resolves "-" and "env:NAME", so that a secret need not stand on the command line.
func (p *program) secretFlag(what, value string) (string, error) {
	if name, found := strings.CutPrefix(value, "env:"); found {
		for _, pair := range p.environ {
			if text, found := strings.CutPrefix(pair, name+"="); found && name != "" {
				return text, nil
			}
		}
		return "", usagef("the %s is to come from the variable %.80q, which is not set", what, name)
	}
	if value != "-" {
		return value, nil
	}
	if file, ok := p.in.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		fmt.Fprintf(p.errout, "%s: ", what)
		text, err := term.ReadPassword(int(file.Fd()))
		fmt.Fprintln(p.errout)
		if err != nil {
			return "", fmt.Errorf("read the %s: %w", what, err)
		}
		return string(text), nil
	}
	if p.lines == nil {
		p.lines = bufio.NewReaderSize(io.LimitReader(p.in, 16*maxSecretLine), maxSecretLine)
	}
	line, err := p.lines.ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the %s: %w", what, err)
	}
	if line = strings.TrimRight(line, "\r\n"); line == "" {
		return "", usagef("the %s is to come from the input, which has no further line", what)
	}
	return line, nil
}

// hostPort splits "host", "host:port", "[v6]:port" and a bare IPv6 address.
func hostPort(text string) (host string, port int, err error) {
	if text == "" {
		return "", 0, usagef("say which device: a name or an address")
	}
	// A control character in a name is a mistake of quoting, and the resolver's error would not say so.
	if at := strings.IndexFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }); at >= 0 {
		return "", 0, usagef("%.80q is no name or address of a device: only printable ASCII without spaces is", text)
	}
	if _, err := netip.ParseAddr(text); err == nil || !strings.Contains(text, ":") { // fe80::1%eth0 too
		return text, 0, nil
	}
	host, number, err := net.SplitHostPort(text)
	if err != nil || host == "" {
		return "", 0, usagef("%.80q is not HOST or HOST:PORT", text)
	}
	port, err = strconv.Atoi(number)
	if err != nil || port < 1 || port > 65_535 {
		return "", 0, usagef("the port is a number from 1 to 65535, not %.40q", number)
	}
	return host, port, nil
}

package store

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"database/sql"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pollux/config"
	"pollux/polluxtest"
)

// authority signs the certificates of a test.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key := newECKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{certificate, key}
}

func newECKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// file writes the authority's certificate down, as MYSQL_ATTR_SSL_CA names it.
func (a authority) file(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// server returns a certificate for a name and its key, in PEM.
func (a authority) server(t *testing.T, name string) (certificate, key string) {
	t.Helper()
	private := newECKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &private.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}))
}

// TestTLS asks a real PostgreSQL that has a certificate for localhost.
func TestTLS(t *testing.T) {
	t.Parallel()
	c := polluxtest.PostgreSQL(t)
	key := newKey(t)
	migrate(t, c, key)
	good, other := newAuthority(t), newAuthority(t)
	speakTLS(t, c, good)
	for name, mode := range map[string]struct {
		mode, host, ca string
		encrypted, ok  bool
	}{
		"off":                         {"DISABLED", "127.0.0.1", "", false, true},
		"when offered":                {"", "127.0.0.1", "", true, true},
		"CA, any name":                {"VERIFY_CA", "127.0.0.1", good.file(t), true, true},
		"CA, another one":             {"VERIFY_CA", "127.0.0.1", other.file(t), true, false},
		"CA, those of the system":     {"VERIFY_CA", "127.0.0.1", "", true, false},
		"identity":                    {"VERIFY_IDENTITY", "localhost", good.file(t), true, true},
		"identity, another name":      {"VERIFY_IDENTITY", "127.0.0.1", good.file(t), true, false},
		"identity, another CA":        {"VERIFY_IDENTITY", "localhost", other.file(t), true, false},
		"a CA alone means identity":   {"", "localhost", good.file(t), true, true},
		"a CA alone, and wrong named": {"", "127.0.0.1", good.file(t), true, false},
	} {
		c := c
		c.SSLMode, c.Host, c.SSLCA = mode.mode, mode.host, mode.ca
		s, err := Open(t.Context(), c, key, quiet())
		if err != nil || !mode.ok {
			if mode.ok || err == nil || !strings.Contains(err.Error(), "certificate") {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		var encrypted bool
		if err := s.db.NewRaw("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").Scan(t.Context(), &encrypted); err != nil || encrypted != mode.encrypted {
			t.Errorf("%s: encrypted %v, %v", name, encrypted, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// speakTLS gives the server a certificate, as its superuser.
func speakTLS(t *testing.T, c config.Database, a authority) {
	t.Helper()
	sockets, err := filepath.Glob(fmt.Sprintf("/tmp/pxt*/.s.PGSQL.%d", c.Port))
	if err != nil || len(sockets) != 1 {
		t.Fatalf("the socket of PostgreSQL: %v, %v", sockets, err)
	}
	folder := filepath.Dir(sockets[0])
	admin, err := openPostgreSQL(config.Database{Socket: sockets[0], Username: "postgres", Name: "postgres"})
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	certificate, key := a.server(t, "localhost")
	for name, text := range map[string]string{"server.crt": certificate, "server.key": key} {
		// Each line is a row. The server refuses a key that others may read.
		exec(t, admin, fmt.Sprintf("COPY (SELECT unnest(string_to_array('%s', E'\\n'))) TO PROGRAM 'umask 077; cat >%s/data/%s'", strings.TrimSpace(text), folder, name))
	}
	exec(t, admin, "ALTER SYSTEM SET ssl = on")
	exec(t, admin, "SELECT pg_reload_conf()")
	polluxtest.Eventually(t, 10*time.Second, "PostgreSQL speaks TLS", func() bool {
		encrypted := c
		encrypted.SSLMode = ""
		pool, err := openPostgreSQL(encrypted)
		if err != nil {
			t.Fatal(err)
		}
		defer pool.Close()
		var on bool
		return pool.QueryRow("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").Scan(&on) == nil && on
	})
}

func exec(t *testing.T, pool *sql.DB, statement string) {
	t.Helper()
	if _, err := pool.Exec(statement); err != nil {
		t.Fatalf("%.60s: %v", statement, err)
	}
}

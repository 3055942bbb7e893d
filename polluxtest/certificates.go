package polluxtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Certificates are the files of a private certificate authority and of one certificate that it signed.
type Certificates struct{ Authority, Certificate, Key string }

// NewCertificates makes an authority and a certificate for 127.0.0.1, valid for an hour.
func NewCertificates(t testing.TB) Certificates {
	t.Helper()
	dir := t.TempDir()
	root := template(1, "test authority")
	root.IsCA, root.BasicConstraintsValid, root.KeyUsage = true, true, x509.KeyUsageCertSign
	leaf := template(2, "redis")
	leaf.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	leaf.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	rootKey, leafKey := newKey(t), newKey(t)
	keyDER, err := x509.MarshalECPrivateKey(leafKey)
	if err != nil {
		t.Fatal(err)
	}
	return Certificates{
		Authority:   writePEM(t, dir, "ca.pem", "CERTIFICATE", sign(t, root, root, &rootKey.PublicKey, rootKey)),
		Certificate: writePEM(t, dir, "cert.pem", "CERTIFICATE", sign(t, leaf, root, &leafKey.PublicKey, rootKey)),
		Key:         writePEM(t, dir, "key.pem", "EC PRIVATE KEY", keyDER),
	}
}

// Flags are the words of redis-server's command line for TLS at a port, for clients without a certificate.
func (c Certificates) Flags(port string) []string {
	return []string{
		"--tls-port", port, "--tls-cert-file", c.Certificate, "--tls-key-file", c.Key,
		"--tls-ca-cert-file", c.Authority, "--tls-auth-clients", "no",
	}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func template(serial int64, name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
}

func sign(t testing.TB, certificate, parent *x509.Certificate, public *ecdsa.PublicKey, by *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, certificate, parent, public, by)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func writePEM(t testing.TB, dir, name, kind string, der []byte) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

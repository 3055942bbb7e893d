package store

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"pollux/config"
)

// tlsConfig is how the server's certificate is checked. DB_SSLMODE:
//
//	VERIFY_IDENTITY  the certificate must be signed by the CA and name DB_HOST
//	VERIFY_CA        it must be signed by the CA
//	DISABLED         no TLS
//	""               VERIFY_IDENTITY when MYSQL_ATTR_SSL_CA names a CA; else nil:
//	                 TLS when the server offers it, its certificate not checked
//
// The CA is the file MYSQL_ATTR_SSL_CA, or those of the system. nil for the last two.
func tlsConfig(c config.Database) (*tls.Config, error) {
	mode := c.SSLMode
	if mode == "" && c.SSLCA != "" {
		mode = "VERIFY_IDENTITY"
	}
	switch mode {
	case "", "DISABLED":
		return nil, nil
	case "VERIFY_CA", "VERIFY_IDENTITY":
	default:
		return nil, fmt.Errorf("%w: DB_SSLMODE is %.30q, want DISABLED, VERIFY_CA or VERIFY_IDENTITY", ErrInvalid, mode)
	}
	roots, err := authorities(c.SSLCA)
	if err != nil {
		return nil, err
	}
	check := &tls.Config{RootCAs: roots, ServerName: c.Host, MinVersion: tls.VersionTLS12}
	if mode == "VERIFY_CA" {
		// crypto/tls checks the name whenever it checks the chain, so the chain is checked by hand.
		check.InsecureSkipVerify = true
		check.VerifyConnection = func(state tls.ConnectionState) error { return verifyChain(state, roots) }
	}
	return check, nil
}

func authorities(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%w: MYSQL_ATTR_SSL_CA: %w", ErrInvalid, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%w: MYSQL_ATTR_SSL_CA: %s holds no certificate in PEM", ErrInvalid, file)
	}
	return pool, nil
}

func verifyChain(state tls.ConnectionState, roots *x509.CertPool) error {
	if len(state.PeerCertificates) == 0 {
		return errors.New("the server sent no certificate")
	}
	between := x509.NewCertPool()
	for _, certificate := range state.PeerCertificates[1:] {
		between.AddCert(certificate)
	}
	if _, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between}); err != nil {
		return fmt.Errorf("check the server's certificate: %w", err)
	}
	return nil
}

// unverified encrypts for whoever answers.
func unverified() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}
}

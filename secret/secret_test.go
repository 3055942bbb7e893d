package secret_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"pollux/secret"
)

func TestStringNeverPrintsItself(t *testing.T) {
	t.Parallel()
	s := secret.New("canary")
	inside := struct {
		Community secret.String
		hidden    secret.String
	}{s, s}
	encoded, err := json.Marshal(inside)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "s", s, "in", inside)
	for _, text := range []string{
		s.String(), fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %s %q %x", inside, inside, inside, s, s, s), string(encoded), log.String(),
	} {
		if strings.Contains(text, "canary") || strings.Contains(text, fmt.Sprintf("%x", "canary")) {
			t.Errorf("the value shows: %s", text)
		}
	}
	if s.Reveal() != "canary" {
		t.Error("Reveal does not return the value")
	}
}

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

func TestSealOpens(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	sealed, err := key.Seal("snmp", "devices/1/community", secret.New("public"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(sealed, "public") {
		t.Fatal("the sealed text holds the plain one")
	}
	plain, err := key.Open("snmp", "devices/1/community", sealed)
	if err != nil || plain.Reveal() != "public" {
		t.Fatalf("opened %q, %v", plain.Reveal(), err)
	}
}

func TestSealedValueIsBoundToKeyPurposePlaceAndContent(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	sealed, err := key.Seal("snmp", "devices/1/community", secret.New("public"))
	if err != nil {
		t.Fatal(err)
	}
	flipped := []byte(sealed)
	flipped[len(flipped)-3] ^= 1
	for name, open := range map[string]func() (secret.String, error){
		"another key":     func() (secret.String, error) { return newKey(t).Open("snmp", "devices/1/community", sealed) },
		"another purpose": func() (secret.String, error) { return key.Open("web", "devices/1/community", sealed) },
		"another row":     func() (secret.String, error) { return key.Open("snmp", "devices/2/community", sealed) },
		"a flipped bit":   func() (secret.String, error) { return key.Open("snmp", "devices/1/community", string(flipped)) },
		"cut":             func() (secret.String, error) { return key.Open("snmp", "devices/1/community", sealed[:20]) },
		"plain text":      func() (secret.String, error) { return key.Open("snmp", "devices/1/community", "public") },
	} {
		if got, err := open(); !errors.Is(err, secret.ErrOpen) || !got.IsEmpty() {
			t.Errorf("%s: got %q, %v", name, got.Reveal(), err)
		}
	}
}

func TestParseKeyRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "base64:", "base64:AAAA", "hunter2", "base64:not base64 at all", "base64:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
	} {
		if _, err := secret.ParseKey(secret.New(text)); !errors.Is(err, secret.ErrKey) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestCheckValueTellsKeysApart(t *testing.T) {
	t.Parallel()
	one, err := newKey(t).CheckValue()
	if err != nil {
		t.Fatal(err)
	}
	two, err := newKey(t).CheckValue()
	if err != nil {
		t.Fatal(err)
	}
	if one == two || len(one) != 32 {
		t.Errorf("check values %s and %s", one, two)
	}
}

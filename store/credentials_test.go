package store

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/uptrace/bun"

	"pollux/device"
	"pollux/secret"
)

func deviceSecrets(t *testing.T, e engine) {
	one, err := e.AddDevice(t.Context(), v3Device())
	if err != nil {
		t.Fatal(err)
	}
	two, err := e.AddDevice(t.Context(), v3Device())
	if err != nil {
		t.Fatal(err)
	}
	read := func(id int64) (row deviceRow) {
		if err := e.db.NewSelect().Model(&row).Where("id = ?", id).Scan(t.Context()); err != nil {
			t.Fatal(err)
		}
		return row
	}
	write := func(id int64, column, value string) {
		if _, err := e.db.NewUpdate().Table("devices").Set("? = ?", bun.Ident(column), value).Where("id = ?", id).Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if stored := fmt.Sprintf("%+v", read(one.ID)); strings.Contains(stored, "canary") {
		t.Fatalf("the row holds a secret: %s", stored)
	}
	kept := read(one.ID).sealedSecrets
	for what, value := range map[string]string{
		"another row":    read(two.ID).AuthPassword,
		"another column": kept.PrivPassword,
		"changed":        kept.AuthPassword[:len(kept.AuthPassword)-2] + "AA",
		"plain":          "canary-auth",
	} {
		write(one.ID, "auth_password", value)
		if d, err := e.Device(t.Context(), one.ID); !errors.Is(err, secret.ErrOpen) || !d.Credentials.AuthPassword.IsEmpty() {
			t.Errorf("%s: opened, %v", what, err)
		}
		if _, _, err := e.PollTarget(t.Context(), one.ID); !errors.Is(err, secret.ErrOpen) {
			t.Errorf("%s: the poll target opened, %v", what, err)
		}
	}
	// Such a device is still known, and new secrets bring it back.
	d, err := e.Device(t.Context(), one.ID)
	if !errors.Is(err, secret.ErrOpen) || d.ID != one.ID || !d.Credentials.PrivPassword.Equal(one.Credentials.PrivPassword) {
		t.Errorf("the device beside the error: %d %s, %v", d.ID, d.Hostname, err)
	}
	change := func(auth secret.String) error {
		_, err := e.UpdateDevice(t.Context(), one.ID, func(d *device.Device) error {
			d.Interval = 60
			if !auth.IsEmpty() {
				d.Credentials.AuthPassword = auth
			}
			return nil
		})
		return err
	}
	if err := change(secret.String{}); !errors.Is(err, secret.ErrOpen) || errors.Is(err, ErrInvalid) {
		t.Errorf("changed without new secrets: %v", err)
	}
	if err := change(one.Credentials.AuthPassword); err != nil {
		t.Errorf("changed with new secrets: %v", err)
	}
	if got := reread(t, e, one.ID); !got.Credentials.AuthPassword.Equal(one.Credentials.AuthPassword) {
		t.Error("set anew, it does not open")
	}
	write(one.ID, "auth_password", kept.AuthPassword)
	if got := reread(t, e, one.ID); !got.Credentials.AuthPassword.Equal(one.Credentials.AuthPassword) {
		t.Error("put back, it does not open")
	}
}

func deviceCanary(t *testing.T, e engine) {
	var log lockedBuffer
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s, err := Open(t.Context(), e.config, e.key, logger)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	d, err := s.AddDevice(t.Context(), v3Device())
	if err != nil {
		t.Fatal(err)
	}
	_, duplicate := s.AddDevice(t.Context(), d)
	d.Credentials.AuthPassword = secret.New("canary")
	d.Hostname = "other." + d.Hostname
	_, short := s.AddDevice(t.Context(), d)
	if duplicate == nil || short == nil {
		t.Fatalf("accepted: %v, %v", duplicate, short)
	}
	text := log.String() + duplicate.Error() + short.Error()
	if strings.Contains(text, "canary") || strings.Contains(text, "v1:"+e.key.ID()) {
		t.Errorf("a secret shows, plain or sealed: %s", text)
	}
	if !strings.Contains(text, "operation=INSERT table=devices") {
		t.Errorf("the log does not name the statements: %.2000s", text)
	}
}

type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}

package main

import (
	"fmt"

	"pollux/config"
)

// needKey refuses to go on without an APP_KEY, which everything stored hangs on.
func needKey(c config.Config) error {
	if c.AppKey.ID() == "" {
		return fmt.Errorf("%w: APP_KEY is missing; make a configuration with: pollux init, or name a data directory with --data-dir", config.ErrInvalid)
	}
	return nil
}

// needInventory refuses to go on without a key or a database.
func needInventory(c config.Config) error {
	if err := needKey(c); err != nil {
		return err
	}
	if c.Database.Connection == config.SQLite && c.Database.Name == "" {
		return fmt.Errorf("%w: there is no database: set DB_HOST and its login, or DB_DATABASE to a file for SQLite, or name a data directory with --data-dir", config.ErrInvalid)
	}
	return nil
}

// needIdentity refuses to run a role without a name.
func needIdentity(c config.Config) error {
	if err := needKey(c); err != nil {
		return err
	}
	if c.NodeID == "" {
		return fmt.Errorf("%w: NODE_ID is missing; set one that no other node has, or auto", config.ErrInvalid)
	}
	return nil
}

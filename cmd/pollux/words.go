package main

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"
)

// words refuses a command line with another number of arguments than n, and says which ones are meant.
func words(n int) cobra.PositionalArgs {
	return func(command *cobra.Command, args []string) error {
		switch {
		case len(args) == n:
			return nil
		case command.HasAvailableSubCommands():
			return usagef("there is no command %.40q%s; see: %s --help", command.CommandPath()+" "+args[0], meant(command, args[0]), command.CommandPath())
		default:
			return usagef("the form is: %s; %d arguments were given", command.UseLine(), len(args))
		}
	}
}

// upTo refuses a command line with more than n arguments.
func upTo(n int) cobra.PositionalArgs {
	return func(command *cobra.Command, args []string) error {
		if len(args) <= n {
			return nil
		}
		return words(n)(command, args)
	}
}

// meant names the commands that a misspelt one comes near to.
func meant(command *cobra.Command, word string) string {
	command.SuggestionsMinimumDistance = 2
	if near := command.SuggestionsFor(word); len(near) > 0 {
		return ", did you mean " + strings.Join(near, " or ") + "?"
	}
	return ""
}

// flagError makes the errors of the flags ours: without what the library says
// of itself, and without the text behind an unknown letter, which may be a password.
func flagError(command *cobra.Command, err error) error {
	text := err.Error()
	var letters interface{ GetSpecifiedShortnames() string }
	if errors.As(err, &letters) && letters.GetSpecifiedShortnames() != "" {
		text, _, _ = strings.Cut(text, " in -")
	}
	if before, _, found := strings.Cut(text, ": strconv."); found {
		text = before + ": it must be a whole number"
	}
	return usagef("%s; see: %s --help", text, command.CommandPath())
}

// help is what a command that only groups others does by itself.
func help(command *cobra.Command, _ []string) error { return command.Help() }

package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"chatcore"
)

// acl prints the least rights of the Redis user.
func (c *cli) acl() *cobra.Command {
	user, password := "chatcore", ""
	var keys, channels []string
	var cache, doctor bool
	cmd := &cobra.Command{
		Use: "acl", Short: "Print the ACL SETUSER line with the least rights that a core needs", Args: cobra.NoArgs,
		Long: "Print the ACL SETUSER line of a Redis user with the rights that a core needs under the given namespace, and no others. A core that lacks one\n" +
			"of them does not open, and names it. Nothing is sent to Redis; --redis-url decides between a Cluster, a database and a single server.\n" +
			"Without a namespace, keys and channels of your own need --key and --channel.",
		RunE: func(*cobra.Command, []string) error {
			config, err := c.config()
			if err != nil {
				return err
			}
			if config.Redis.URL == "" {
				config.Redis.URL = "redis://localhost:6379"
			}
			if cache && config.Redis.CacheURL == "" {
				config.Redis.CacheURL = "redis://localhost:6379"
			}
			acl, err := chatcore.ACLOf(config, doctor)
			if err != nil {
				return err
			}
			rules := acl.Log
			if cache {
				rules = acl.Cache
			}
			fmt.Fprintln(c.out, setUser(user, password, keys, channels, rules))
			return nil
		},
	}
	cmd.Flags().StringVar(&user, "user", user, "name of the Redis `USER`")
	cmd.Flags().StringVar(&password, "password", "", "`PASSWORD` of the Redis user (default: none, add one with >PASSWORD)")
	cmd.Flags().StringSliceVar(&keys, "key", nil, "further `PATTERN` of keys, for helpers, effects and custom caches; may be given several times")
	cmd.Flags().StringSliceVar(&channels, "channel", nil, "further `PATTERN` of channels, for helpers; may be given several times")
	cmd.Flags().BoolVar(&cache, "cache", false, "print the rights on the server of the caches instead")
	cmd.Flags().BoolVar(&doctor, "doctor", false, "also allow the commands that only \"core doctor\" uses; CONFIG GET is one of them, which returns the server's passwords")
	return cmd
}

func setUser(user, password string, keys, channels, rules []string) string {
	words := []string{"ACL SETUSER", user, "reset", "on"}
	if password != "" {
		words = append(words, ">"+password)
	}
	for _, pattern := range keys {
		words = append(words, "~"+pattern)
	}
	for _, pattern := range channels {
		words = append(words, "&"+pattern)
	}
	return strings.Join(append(words, rules...), " ")
}

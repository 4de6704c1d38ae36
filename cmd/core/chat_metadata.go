package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
)

// metadataView is a key of a chat's metadata.
type metadataView struct {
	ChatID  domain.ChatID   `json:"chatId"`
	Version domain.Seq      `json:"version"` // of the whole metadata, for --if-version
	Key     string          `json:"key"`
	Value   json.RawMessage `json:"value"`
}

func (c *cli) chatMetadata() *cobra.Command {
	return c.takes(c.jsonFlag(&cobra.Command{
		Use: "metadata", Short: "List the metadata of a chat",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd.Context(), func(core *chatcore.Core) error {
				chat := domain.ChatID(args[0])
				metadata, err := core.Queries.Metadata(cmd.Context(), chat)
				if err != nil {
					return err
				}
				l := c.list(fmt.Sprintf("chat %s has no metadata", chat), "KEY", "VALUE")
				for _, key := range slices.Sorted(maps.Keys(metadata.Values)) {
					value := string(metadata.Values[key])
					if err := l.add(metadataView{chat, metadata.Version, key, json.RawMessage(value)}, key, value); err != nil {
						return err
					}
				}
				return l.end()
			})
		},
	}), chatArg)
}

func (c *cli) chatSetMetadata() *cobra.Command {
	var set, unset []string
	var version uint64
	cmd := c.change("set-metadata", "Change keys of a chat's metadata", []argument{chatArg}, func(cmd *cobra.Command, core *chatcore.Core, ch *change) (app.Done, error) {
		values, err := valuesOf("set", set)
		if err != nil {
			return app.Done{}, err
		}
		return core.Chats.UpdateMetadata(cmd.Context(), domain.UpdateMetadata{
			Chat: ch.chat(), Actor: ch.by(), Set: values, Unset: unset, IfVersion: domain.Seq(version), Command: ch.commandID(),
		})
	})
	cmd.Flags().StringArrayVar(&set, "set", nil, "`KEY=JSON` to set, such as topic='\"Harvest\"'; may be given several times")
	cmd.Flags().StringArrayVar(&unset, "unset", nil, "`KEY` to remove; may be given several times")
	cmd.Flags().Uint64Var(&version, "if-version", 0, "change it only if the metadata has this `VERSION`, which core chat metadata --json shows (0: any)")
	return cmd
}

// valuesOf returns the values of a flag whose texts are KEY=JSON.
func valuesOf(flag string, texts []string) (map[string]string, error) {
	values := make(map[string]string, len(texts))
	for _, text := range texts {
		key, value, found := strings.Cut(text, "=")
		if _, twice := values[key]; !found || twice {
			return nil, &domain.InvalidError{Field: flag, Problem: fmt.Sprintf("is %q", text), Allowed: "KEY=JSON, with each key once"}
		}
		values[key] = value
	}
	return values, nil
}

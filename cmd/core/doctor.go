package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"chatcore"
)

var errDanger = errors.New("there is danger; see the findings")

func (c *cli) doctor() *cobra.Command {
	var partitions bool
	cmd := &cobra.Command{
		Use: "doctor", Short: "Find dangers to data and service, with remedies", Args: cobra.NoArgs,
		Long: "Inspect the servers, the log and the consumer groups. For each danger, warning and note print the finding, why it matters and what to\n" +
			"do. Ends with 1 if there is a danger. A log that does not exist yet is not made.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			h, found, err := c.examine(cmd.Context())
			if err != nil {
				return err
			}
			if err := c.printHealth(h, found, partitions); err != nil {
				return err
			}
			if len(found) > 0 && found[0].Severity == chatcore.Danger {
				return errDanger
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&partitions, "per-partition", false, "with --json: show each partition of the consumer groups too")
	return c.jsonFlag(cmd)
}

// examine inspects the servers first: a core cannot be opened on every server that needs a doctor.
func (c *cli) examine(ctx context.Context) (chatcore.Health, []chatcore.Finding, error) {
	config, err := c.named()
	if err != nil {
		return chatcore.Health{}, nil, err
	}
	switch like, err := c.likeTheLog(ctx, config); {
	case err == nil:
		config = like
	case errors.Is(err, chatcore.ErrUnreachable), errors.Is(err, chatcore.ErrRejected):
		return chatcore.Health{}, nil, err
	} // the servers report on the others
	h, err := chatcore.Inspect(ctx, config)
	if err != nil {
		return h, nil, err
	}
	found := h.Findings()
	for _, f := range found {
		if f.Code == "replica" || f.Code == "version" || f.Code == "no_answer" || f.Code == "cluster" || f.Code == "cluster_url" {
			return h, found, nil
		}
	}
	if h.LogID == "" {
		return h, append(found, chatcore.Finding{
			Severity: chatcore.Note, Code: "no_log", What: "there is no log in this namespace yet", Why: "nothing can be said of it",
			Remedy: "the first program that opens a core makes it",
		}), nil
	}
	c.archives = true
	if err := c.openVault(ctx, &config); err != nil {
		return h, nil, err
	}
	core, err := chatcore.New(ctx, config)
	if err != nil {
		return h, append([]chatcore.Finding{{
			Severity: chatcore.Danger, Code: "not_opened", What: "the log cannot be opened: " + err.Error(), Why: "no program can work on it",
			Remedy: "the finding",
		}}, found...), nil
	}
	h = core.Health(ctx)
	found = append(h.Findings(), vaultFindings(ctx, config.Vault.Store)...)
	slices.SortStableFunc(found, func(a, b chatcore.Finding) int { return cmp.Compare(rankOf(a), rankOf(b)) })
	return h, found, core.Close()
}

// rankOf orders findings, the worst first.
func rankOf(f chatcore.Finding) int {
	return slices.Index([]chatcore.Severity{chatcore.Danger, chatcore.Warning, chatcore.Note}, f.Severity)
}

type findingView struct {
	Severity chatcore.Severity `json:"severity"`
	Code     string            `json:"code"`
	Server   string            `json:"server,omitempty"`
	What     string            `json:"what"`
	Why      string            `json:"why"`
	Remedy   string            `json:"remedy"`
}

type serverView struct {
	Address          string   `json:"address"`
	Error            string   `json:"error,omitempty"`
	LatencyMillis    float64  `json:"latencyMillis"`
	Version          string   `json:"version,omitempty"`
	Role             string   `json:"role"`
	UsedMemory       int64    `json:"usedMemory,omitempty"`
	MaxMemory        int64    `json:"maxMemory,omitempty"`
	Eviction         string   `json:"eviction,omitempty"`
	Evicted          int64    `json:"evicted"`
	AppendOnly       bool     `json:"appendOnly"`
	Fsync            string   `json:"fsync,omitempty"`
	ConnectedClients int64    `json:"connectedClients,omitempty"`
	MaxClients       int64    `json:"maxClients,omitempty"`
	Replicas         int      `json:"replicas"`
	SlowCommands     int64    `json:"slowCommands"`
	Unknown          []string `json:"unknown,omitempty"`
}

type poolView struct {
	Purpose  string `json:"purpose"`
	Total    uint32 `json:"total"`
	Idle     uint32 `json:"idle"`
	Hits     uint32 `json:"hits"`
	Misses   uint32 `json:"misses"`
	Timeouts uint32 `json:"timeouts"`
}

type healthView struct {
	Live     bool          `json:"live"`
	Ready    bool          `json:"ready"`
	NotReady string        `json:"notReady,omitempty"`
	LogID    string        `json:"logId,omitempty"`
	Level    int           `json:"level,omitempty"`
	Known    int           `json:"knownLevel"`
	Log      []serverView  `json:"log"`
	Cache    []serverView  `json:"cache,omitempty"`
	Pools    []poolView    `json:"pools"`
	Groups   []groupView   `json:"groups"`
	Findings []findingView `json:"findings"`
}

func healthViewOf(h chatcore.Health, found []chatcore.Finding, partitions bool) healthView {
	v := healthView{Live: h.Live, Ready: h.Ready, LogID: h.LogID, Level: h.Level, Known: chatcore.LogLevel, Log: serverViews(h.Log), Cache: serverViews(h.Cache), Groups: []groupView{}, Findings: []findingView{}}
	if h.NotReady != nil {
		v.NotReady = h.NotReady.Error()
	}
	for _, p := range h.Pools {
		v.Pools = append(v.Pools, poolView{p.Purpose, p.Total, p.Idle, p.Hits, p.Misses, p.Timeouts})
	}
	for _, g := range h.Groups {
		v.Groups = append(v.Groups, viewOfGroup(g, nil, partitions))
	}
	for _, f := range found {
		v.Findings = append(v.Findings, findingView(f))
	}
	return v
}

func serverViews(servers []chatcore.State) []serverView {
	var views []serverView
	for _, s := range servers {
		v := serverView{Address: s.Address, LatencyMillis: float64(s.Latency.Microseconds()) / 1000, Version: s.Version, Role: "master", Unknown: s.Unknown}
		if s.Replica {
			v.Role = "replica"
		}
		if s.Err != nil {
			v.Error, v.Role = s.Err.Error(), "unknown"
		}
		if m := s.Memory; m != nil {
			v.UsedMemory, v.MaxMemory, v.Eviction, v.Evicted = m.Used, m.Max, m.Policy, m.Evicted
		}
		if p := s.Persistence; p != nil {
			v.AppendOnly = p.AppendOnly
		}
		if set := s.Settings; set != nil {
			v.Fsync = set.Fsync
		}
		if cl := s.Clients; cl != nil {
			v.ConnectedClients, v.MaxClients = cl.Connected, cl.Max
		}
		if r := s.Replication; r != nil {
			v.Replicas = len(r.Replicas)
		}
		if slow := s.Slow; slow != nil {
			v.SlowCommands = slow.Entries
		}
		views = append(views, v)
	}
	return views
}

func (c *cli) printHealth(h chatcore.Health, found []chatcore.Finding, partitions bool) error {
	v := healthViewOf(h, found, partitions)
	if c.json {
		return c.print(v, "")
	}
	rows := [][]string{{"SERVER", "FOR", "ROLE", "VERSION", "PING", "MEMORY", "CLIENTS", "REPLICAS"}}
	for _, servers := range []struct {
		purpose string
		list    []serverView
	}{{"log", v.Log}, {"cache", v.Cache}} {
		for _, s := range servers.list {
			rows = append(rows, []string{
				s.Address, servers.purpose, s.Role, s.Version, fmt.Sprintf("%.2fms", s.LatencyMillis), fmt.Sprintf("%.1fMB", float64(s.UsedMemory)/1e6),
				fmt.Sprintf("%d/%d", s.ConnectedClients, s.MaxClients), fmt.Sprint(s.Replicas),
			})
		}
	}
	if err := c.table(rows); err != nil {
		return err
	}
	if h.Level > 0 {
		fmt.Fprintf(c.out, "\nlog %s at level %d; this program knows up to %d\n", h.LogID, h.Level, chatcore.LogLevel)
	}
	for _, f := range found {
		where := ""
		if f.Server != "" {
			where = f.Server + ": "
		}
		fmt.Fprintf(c.out, "\n%s  %s%s\n  why: %s\n  do:  %s\n", f.Severity, where, f.What, f.Why, f.Remedy)
	}
	if len(found) == 0 {
		fmt.Fprintln(c.out, "\nnothing was found")
	}
	return nil
}

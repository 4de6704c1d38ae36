package presence

import _ "embed"

var (
	//go:embed script/presence.lua
	presenceSource string
	//go:embed script/presence_ends.lua
	presenceEndsSource string
	//go:embed script/due.lua
	dueSource string
	//go:embed script/lead.lua
	leadSource string
)

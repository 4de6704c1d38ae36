package deploy
import (
	_ "k8s.io/api/core/v1"
	_ "k8s.io/api/apps/v1"
	_ "k8s.io/api/policy/v1"
	_ "sigs.k8s.io/yaml"
	_ "github.com/compose-spec/compose-go/v2/loader"
	_ "github.com/moby/buildkit/frontend/dockerfile/instructions"
	_ "github.com/moby/buildkit/frontend/dockerfile/parser"
	_ "github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

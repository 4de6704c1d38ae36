package archive

import (
	"context"
	"errors"
	"maps"

	"chatcore/adapters/vault/object"
	"chatcore/ports"
)

// copyRules stores the policies and holds of a partition if the vault has others. The caller holds tailing.
func (a *Archiver) copyRules(ctx context.Context, p *partition) error {
	if a.config.Rules == nil {
		return nil
	}
	policies, holds, err := a.config.Rules(ctx, p.number)
	if err != nil {
		return err
	}
	if p.rules == nil {
		if p.rules, err = a.lastRules(ctx, p.number); err != nil {
			return err
		}
	}
	before := p.rules
	if maps.Equal(before.Policies, policies) && maps.Equal(before.Holds, holds) {
		return nil
	}
	next := &object.RuleSet{Name: object.Rules(a.config.LogID, p.number, before.Name.Number+1), Policies: policies, Holds: holds}
	data, err := object.EncodeRules(next)
	if err == nil {
		err = a.put(ctx, next.Name, data)
	}
	p.rules = nil
	if errors.Is(err, ports.ErrExists) { // by another archiver: the next call compares with its rules
		return nil
	}
	if err != nil {
		return err
	}
	p.rules = next
	if before.Name.Number == 0 { // none
		return nil
	}
	return a.remove(ctx, []object.Name{before.Name})
}

// forgetRules has the rules of the vault read again.
func (p *partition) forgetRules() {
	p.tailing.Lock()
	defer p.tailing.Unlock()
	p.rules = nil
}

// lastRules returns the rules of a partition that the vault has, without any and with number 0 if there are none.
func (a *Archiver) lastRules(ctx context.Context, partition int) (*object.RuleSet, error) {
	last := object.Rules(a.config.LogID, partition, 0)
	for name, err := range a.list(ctx, last.Siblings()) {
		if err != nil {
			return nil, err
		}
		last = name
	}
	if last.Number == 0 {
		return &object.RuleSet{Name: last}, nil
	}
	data, err := a.get(ctx, last)
	if err != nil {
		return nil, err
	}
	return object.DecodeRules(last, data)
}

package app

import (
	"context"
	"fmt"

	"chatcore/domain"
)

// UserCommands are the commands of one user. Each method is that of [Chats] with the same name, at the same cost. The Actor of a command must be empty
// or the user; another one is a [*domain.InvalidError], and nothing happens.
type UserCommands struct {
	chats *Chats
	user  domain.UserID
}

// As returns the commands of one user, who must have been authenticated.
func (c *Chats) As(user domain.UserID) UserCommands { return UserCommands{chats: c, user: user} }

// act sets the actor of a command to the user. It returns a [*domain.InvalidError] if the command names another user.
func (u UserCommands) act(actor *domain.UserID) error {
	if *actor != "" && *actor != u.user {
		return &domain.InvalidError{Field: "actor", Problem: fmt.Sprintf("is %.80q", string(*actor)), Allowed: fmt.Sprintf("empty, or %.80q: the user that acts", string(u.user))}
	}
	*actor = u.user
	return nil
}

// Create is [Chats.Create] by the user.
func (u UserCommands) Create(ctx context.Context, cmd domain.Create) (Done, error) {
	if err := u.act(&cmd.Actor); err != nil {
		return Done{}, err
	}
	return u.chats.Create(ctx, cmd)
}

// Rename is [Chats.Rename] by the user.
func (u UserCommands) Rename(ctx context.Context, cmd domain.Rename) (Done, error) {
	if err := u.act(&cmd.Actor); err != nil {
		return Done{}, err
	}
	return u.chats.Rename(ctx, cmd)
}

// Archive is [Chats.Archive] by the user.
func (u UserCommands) Archive(ctx context.Context, cmd domain.Archive) (Done, error) {
	if err := u.act(&cmd.Actor); err != nil {
		return Done{}, err
	}
	return u.chats.Archive(ctx, cmd)
}

// Unarchive is [Chats.Unarchive] by the user.
func (u UserCommands) Unarchive(ctx context.Context, cmd domain.Unarchive) (Done, error) {
	if err := u.act(&cmd.Actor); err != nil {
		return Done{}, err
	}
	return u.chats.Unarchive(ctx, cmd)
}

// Add is [Chats.Add] by the user.
func (u UserCommands) Add(ctx context.Context, cmd domain.Add) (Done, error) {
	if err := u.act(&cmd.Actor); err != nil {
		return Done{}, err
	}
	return u.chats.Add(ctx, cmd)
}

// OpenDirect is [Chats.OpenDirect] by the user.
func (u UserCommands) OpenDirect(ctx context.Context, cmd domain.OpenDirect) (OpenedDirect, error) {
	if err := u.act(&cmd.Actor); err != nil {
		return OpenedDirect{}, err
	}
	return u.chats.OpenDirect(ctx, cmd)
}

// Join is [Chats.Join] by the user.
func (u UserCommands) Join(ctx context.Context, cmd domain.Join) (Done, error) {
	if err := u.act(&cmd.Actor); err != nil {
		return Done{}, err
	}
	return u.chats.Join(ctx, cmd)
}

// SetPolicy is [Chats.SetPolicy] by the user.
func (u UserCommands) SetPolicy(ctx context.Context, cmd domain.SetPolicy) (Done, error) {
	if err := u.act(&cmd.Actor); err != nil {
		return Done{}, err
	}
	return u.chats.SetPolicy(ctx, cmd)
}

// UpdateMetadata is [Chats.UpdateMetadata] by the user.
func (u UserCommands) UpdateMetadata(ctx context.Context, cmd domain.UpdateMetadata) (Done, error) {
	if err := u.act(&cmd.Actor); err != nil {
		return Done{}, err
	}
	return u.chats.UpdateMetadata(ctx, cmd)
}

// Pin is [Chats.Pin] by the user.
func (u UserCommands) Pin(ctx context.Context, cmd domain.Pin) (Done, error) {
	if err := u.act(&cmd.Actor); err != nil {
		return Done{}, err
	}
	return u.chats.Pin(ctx, cmd)
}

// Unpin is [Chats.Unpin] by the user.
func (u UserCommands) Unpin(ctx context.Context, cmd domain.Pin) (Done, error) {
	if err := u.act(&cmd.Actor); err != nil {
		return Done{}, err
	}
	return u.chats.Unpin(ctx, cmd)
}

// SetSettings is [Chats.SetSettings] by the user.
func (u UserCommands) SetSettings(ctx context.Context, cmd domain.SetSettings) (Done, error) {
	if err := u.act(&cmd.Actor); err != nil {
		return Done{}, err
	}
	return u.chats.SetSettings(ctx, cmd)
}

// Restrict is [Chats.Restrict] by the user.
func (u UserCommands) Restrict(ctx context.Context, cmd domain.Restrict) (Done, error) {
	if err := u.act(&cmd.Actor); err != nil {
		return Done{}, err
	}
	return u.chats.Restrict(ctx, cmd)
}

// Block is [Chats.Block] by the user.
func (u UserCommands) Block(ctx context.Context, cmd domain.BlockUser) (Done, error) {
	if err := u.act(&cmd.Actor); err != nil {
		return Done{}, err
	}
	return u.chats.Block(ctx, cmd)
}

// AddMembers is [Chats.AddMembers] by the user.
func (u UserCommands) AddMembers(ctx context.Context, cmd domain.AddMembers) (AddedMembers, error) {
	if err := u.act(&cmd.Actor); err != nil {
		return AddedMembers{}, err
	}
	return u.chats.AddMembers(ctx, cmd)
}

// MarkThread is [Chats.MarkThread] by the user.
func (u UserCommands) MarkThread(ctx context.Context, cmd domain.MarkThread) (Marked, error) {
	if err := u.act(&cmd.Actor); err != nil {
		return Marked{}, err
	}
	return u.chats.MarkThread(ctx, cmd)
}

// Remove is [Chats.Remove] by the user.
func (u UserCommands) Remove(ctx context.Context, cmd domain.Remove) (Done, error) {
	if err := u.act(&cmd.Actor); err != nil {
		return Done{}, err
	}
	return u.chats.Remove(ctx, cmd)
}

// Promote is [Chats.Promote] by the user.
func (u UserCommands) Promote(ctx context.Context, cmd domain.Promote) (Done, error) {
	if err := u.act(&cmd.Actor); err != nil {
		return Done{}, err
	}
	return u.chats.Promote(ctx, cmd)
}

// Demote is [Chats.Demote] by the user.
func (u UserCommands) Demote(ctx context.Context, cmd domain.Demote) (Done, error) {
	if err := u.act(&cmd.Actor); err != nil {
		return Done{}, err
	}
	return u.chats.Demote(ctx, cmd)
}

// Leave is [Chats.Leave] by the user.
func (u UserCommands) Leave(ctx context.Context, cmd domain.Leave) (Done, error) {
	if err := u.act(&cmd.Actor); err != nil {
		return Done{}, err
	}
	return u.chats.Leave(ctx, cmd)
}

// Send is [Chats.Send] by the user.
func (u UserCommands) Send(ctx context.Context, cmd domain.Send) (Sent, error) {
	if err := u.act(&cmd.Actor); err != nil {
		return Sent{}, err
	}
	return u.chats.Send(ctx, cmd)
}

// Edit is [Chats.Edit] by the user.
func (u UserCommands) Edit(ctx context.Context, cmd domain.Edit) (Done, error) {
	if err := u.act(&cmd.Actor); err != nil {
		return Done{}, err
	}
	return u.chats.Edit(ctx, cmd)
}

// Delete is [Chats.Delete] by the user.
func (u UserCommands) Delete(ctx context.Context, cmd domain.Delete) (Done, error) {
	if err := u.act(&cmd.Actor); err != nil {
		return Done{}, err
	}
	return u.chats.Delete(ctx, cmd)
}

// Erase is [Chats.Erase] by the user, who must be a member: a trusted erasure is a [*domain.InvalidError].
func (u UserCommands) Erase(ctx context.Context, cmd domain.Erase) (Erased, error) {
	if cmd.Trusted {
		return Erased{}, &domain.InvalidError{Field: "trusted", Problem: "is set", Allowed: "an erasure by a member"}
	}
	if err := u.act(&cmd.Actor); err != nil {
		return Erased{}, err
	}
	return u.chats.Erase(ctx, cmd)
}

// DeleteChat is [Chats.DeleteChat] by the user, who must be an owner: a trusted deletion is a [*domain.InvalidError].
func (u UserCommands) DeleteChat(ctx context.Context, cmd domain.DeleteChat) (DeletedChat, error) {
	if cmd.Trusted {
		return DeletedChat{}, &domain.InvalidError{Field: "trusted", Problem: "is set", Allowed: "a deletion by an owner"}
	}
	if err := u.act(&cmd.Actor); err != nil {
		return DeletedChat{}, err
	}
	return u.chats.DeleteChat(ctx, cmd, nil)
}

// React is [Chats.React] by the user.
func (u UserCommands) React(ctx context.Context, cmd domain.React) (Done, error) {
	if err := u.act(&cmd.Actor); err != nil {
		return Done{}, err
	}
	return u.chats.React(ctx, cmd)
}

// Unreact is [Chats.Unreact] by the user.
func (u UserCommands) Unreact(ctx context.Context, cmd domain.React) (Done, error) {
	if err := u.act(&cmd.Actor); err != nil {
		return Done{}, err
	}
	return u.chats.Unreact(ctx, cmd)
}

// MarkRead is [Chats.MarkRead] by the user.
func (u UserCommands) MarkRead(ctx context.Context, cmd domain.MarkRead) (Marked, error) {
	if err := u.act(&cmd.Actor); err != nil {
		return Marked{}, err
	}
	return u.chats.MarkRead(ctx, cmd)
}

// Record is [Chats.Record] by the user.
func (u UserCommands) Record(ctx context.Context, cmd domain.Record) (Done, error) {
	if err := u.act(&cmd.Actor); err != nil {
		return Done{}, err
	}
	return u.chats.Record(ctx, cmd)
}

// StartTyping is [Chats.StartTyping] by the user.
func (u UserCommands) StartTyping(ctx context.Context, cmd domain.Typing) (bool, error) {
	if err := u.act(&cmd.Actor); err != nil {
		return false, err
	}
	return u.chats.StartTyping(ctx, cmd)
}

// StopTyping is [Chats.StopTyping] by the user.
func (u UserCommands) StopTyping(ctx context.Context, cmd domain.Typing) error {
	if err := u.act(&cmd.Actor); err != nil {
		return err
	}
	return u.chats.StopTyping(ctx, cmd)
}

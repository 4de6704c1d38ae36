-- The end of the scripts that begin with plain.lua: publishes the announcements, and returns the reply.

for i = 1, announcements and #announcements or 0, 2 do
  local reply = pcall(announcing, announcements[i], concat(announcements[i + 1]))
  if type(reply) == 'table' then refused, refusal = refused + 1, reply.err end
end
if refused > 0 then outcomes[n + 1] = '! ' .. refused .. ' ' .. refusal end
return concat(outcomes, '\n')

-- Small tables and strings, made and dropped: binary trees, and words counted in a table.
local rounds = tonumber(arg[1])

local function tree(depth)
  if depth == 0 then return {} end
  return { tree(depth - 1), tree(depth - 1) }
end

local function count(t)
  return t[1] and 1 + count(t[1]) + count(t[2]) or 1
end

for round = 1, rounds do
  assert(count(tree(13)) == 2 ^ 14 - 1)
  local words = {}
  for i = 1, 20000 do
    local word = "word" .. (i * 7919 % 3000) .. "-" .. round
    words[word] = (words[word] or 0) + 1
  end
end

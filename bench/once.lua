-- wrk: as many requests as a file has paths, each path at least once, and then no more.
-- Arguments: the file, the method, and the body, if there is one.

local requests, at, answered, refused = {}, 0, 0, 0

function init(args)
  for path in io.lines(args[1]) do
    requests[#requests + 1] = wrk.format(args[2], path, nil, args[3])
  end
end

-- While the last answers are awaited, connections that are free begin anew, so that no other path is touched.
function request()
  at = at % #requests + 1
  return requests[at]
end

function response(status)
  answered = answered + 1
  if status < 200 or status > 299 then
    refused = refused + 1
  end
  if answered == #requests then
    io.write(string.format('\nRESULT {"requests": %d, "refused": %d}\n', answered, refused))
    os.exit(0) -- where stopping the thread would leave the main one asleep until the whole duration is over
  end
end

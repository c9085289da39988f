#!/bin/sh
# PostToolUse: pretends to update a search index, far too slowly, and the wrong way: a worker in the background that
# inherits standard output. A runner that kills only this shell would wait for the worker's end of the pipe for five
# minutes; ours ends the whole process group after this hook's one second.
sleep 300 &
echo "indexing with worker $!"
wait

"""Join the annotations of many tasks to one data set.

`coco`, `yolo` and `cvat` read the files of a task and write those of the data set. `splits` decides
to which part an image belongs.
"""

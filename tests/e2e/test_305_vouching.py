"""What may be vouched for: nothing that nobody looks at, however it came about,
and no change is forgotten because its folder goes by another topic now."""

from dp.process import wait_until

pytest_plugins = "dp_watcher"

def reloaded(rig, *conf):
    rig.watcher.more = list(conf)
    before = rig.watcher.output().count("read again")
    rig.watcher.reload()
    wait_until(lambda: rig.watcher.output().count("read again") > before)


# --- topics that are shared

def test_folders_that_get_topics_of_their_own_keep_their_changes(make_rig):
    """They shared one; then there was room. A restart brings each back."""
    rig = make_rig(conf=["user_topics = 1"])
    rig.allow("user_topics")
    box = rig.maildir()
    names = ["F%d" % i for i in range(8)]
    for name in names:
        box.create(name)
    rig.watch()
    shared = [rig.watch(folder=name) for name in names]
    assert len({topic.slot for topic in shared}) == 1
    reloaded(rig, "user_topics = 300")
    topics = [rig.watch(folder=name) for name in names]
    assert len({topic.slot for topic in topics}) == len(names)
    mark = rig.bus.head
    for name, topic in zip(names, topics):
        box.deliver("hello", folder=name)
        topic.wait("new")
    told = rig.bus.head
    assert rig.watcher.stop() == 0
    rig.watcher.start()
    for name, slot in [(name, topic.slot) for name, topic in zip(names,
                                                                 topics)]:
        topic = rig.watch(folder=name)
        assert topic.slot == slot
        assert not topic.is_clean(mark), (name, topic.view, mark)
        assert topic.is_clean(told), (name, topic.view, told)

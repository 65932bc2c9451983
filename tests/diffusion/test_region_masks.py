import torch

from videograin.diffusion.region_masks import grow_masks, make_room


def test_masks_grow_by_pixels_on_every_side():
    masks = torch.zeros(1, 9, 9, dtype=torch.bool)
    masks[0, 4, 5] = True
    assert grow_masks(masks, 2).nonzero().amin(0).tolist() == [0, 2, 3]
    assert grow_masks(masks, 2).nonzero().amax(0).tolist() == [0, 6, 7]
    assert grow_masks(masks, 0) is masks


def test_edited_regions_take_room_that_no_other_region_has():
    masks = torch.zeros(3, 1, 3, 9, dtype=torch.bool)
    masks[0, 0, 1, 1] = masks[1, 0, 1, 3] = masks[2, 0, 1, 7] = True
    roomy = make_room(masks, [True, True, False], 2)
    assert roomy[0, 0].any(0).nonzero().flatten().tolist() == [0, 1, 2, 3]
    assert not roomy[0, 0, 1, 3]
    assert not roomy[1, 0, 1, 1]
    assert torch.equal(roomy[2], masks[2])
    assert torch.equal(make_room(masks, [True, True, False], 0), masks)


def test_overlapping_regions_keep_what_they_share():
    masks = torch.zeros(2, 1, 4, 4, dtype=torch.bool)
    masks[:, 0, 1, 1] = True
    assert make_room(masks, [True, True], 1)[:, 0, 1, 1].all()
